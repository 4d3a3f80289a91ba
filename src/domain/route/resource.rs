//! What an Azure resource id says by its path: what it lies in, its name, its type.

/// Whether `id` is `scope` or lies below it, by whole segments and without regard to case.
pub(super) fn lies_in(id: &str, scope: &str) -> bool {
    let mut id = segments(id);
    segments(scope).all(|expected| id.next().is_some_and(|segment| same(segment, expected)))
}

/// The last segment.
pub(in crate::domain) fn name(id: &str) -> Option<&str> {
    segments(id).last()
}

/// `Microsoft.Sql/servers/databases` of `…/providers/Microsoft.Sql/servers/db1/databases/orders`; groups and
/// subscriptions have the types that Azure Resource Manager gives them.
pub(in crate::domain) fn resource_type(id: &str) -> Option<String> {
    let segments: Vec<&str> = segments(id).collect();
    if let Some(at) = segments.iter().rposition(|segment| same(segment, "providers")) {
        let mut parts = segments.iter().skip(at + 1);
        let mut kind = (*parts.next()?).to_owned();
        let types: Vec<&str> = parts.step_by(2).copied().collect();
        for part in &types {
            kind.push('/');
            kind.push_str(part);
        }
        return (!types.is_empty()).then_some(kind);
    }
    let first = segments.first().is_some_and(|segment| same(segment, "subscriptions"));
    match segments.len() {
        2 if first => Some("Microsoft.Resources/subscriptions".to_owned()),
        4 if first && segments.get(2).is_some_and(|segment| same(segment, "resourcegroups")) => {
            Some("Microsoft.Resources/subscriptions/resourceGroups".to_owned())
        }
        _ => None,
    }
}

/// `rg-shop` of `…/resourceGroups/rg-shop/…`.
pub(in crate::domain) fn resource_group(id: &str) -> Option<&str> {
    segments(id).skip_while(|segment| !same(segment, "resourcegroups")).nth(1)
}

fn segments(id: &str) -> impl Iterator<Item = &str> {
    id.split('/').filter(|segment| !segment.is_empty())
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUP: &str = "/subscriptions/0a1b/resourceGroups/rg-pay";

    #[test]
    fn scopes_are_compared_by_whole_segments() {
        for (id, lies) in [
            ("/subscriptions/0A1B/resourcegroups/RG-PAY", true),
            ("/subscriptions/0a1b/resourceGroups/rg-pay/providers/Microsoft.Sql/servers/db1", true),
            ("/subscriptions/0a1b/resourceGroups/rg-pay/", true),
            ("/subscriptions/0a1b/resourceGroups/rg-payments", false),
            ("/subscriptions/0a1b", false),
            ("", false),
        ] {
            assert_eq!(lies_in(id, GROUP), lies, "{id}");
        }
    }

    #[test]
    fn types_are_read_from_the_last_provider() {
        for (id, expected) in [
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm1",
                Some("Microsoft.Compute/virtualMachines"),
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/a/databases/b",
                Some("Microsoft.Sql/servers/databases"),
            ),
            ("/subscriptions/s/providers/Microsoft.A/b/c/providers/Microsoft.D/e/f", Some("Microsoft.D/e")),
            ("/subscriptions/s/resourcegroups/g", Some("Microsoft.Resources/subscriptions/resourceGroups")),
            ("/subscriptions/s", Some("Microsoft.Resources/subscriptions")),
            ("/subscriptions/s/providers/Microsoft.A", None),
            ("/subscriptions/s/providers", None),
            ("web-frontend", None),
            ("", None),
        ] {
            assert_eq!(resource_type(id).as_deref(), expected, "{id}");
        }
    }

    #[test]
    fn groups_are_named_by_the_segment_behind_theirs() {
        assert_eq!(resource_group(&format!("{GROUP}/providers/Microsoft.Sql/servers/db1")), Some("rg-pay"));
        assert_eq!(resource_group("/subscriptions/s/RESOURCEGROUPS/g"), Some("g"));
        assert_eq!(resource_group("/subscriptions/s/resourcegroups"), None);
        assert_eq!(resource_group("/subscriptions/s"), None);
    }

    proptest! {
        #[test]
        fn what_is_appended_stays_inside(scope in "(/[a-zA-Z0-9.]{1,4}){1,5}", tail in "(/[a-z]{1,3}){0,4}", letters in "[a-z]{1,3}") {
            let below = format!("{}{tail}", scope.to_uppercase());
            prop_assert!(lies_in(&below, &scope));
            // A longer last segment is another resource.
            let sibling = format!("{scope}{letters}");
            prop_assert!(!lies_in(&sibling, &scope));
        }

        #[test]
        fn any_text_is_read_without_panic(id in "\\PC{0,60}") {
            prop_assert_eq!(name(&id).is_none(), id.split('/').all(str::is_empty));
            prop_assert!(resource_type(&id).is_none_or(|kind| kind.contains('/')));
        }
    }
}
