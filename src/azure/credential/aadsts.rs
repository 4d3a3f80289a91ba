//! Entra's error numbers: who must act, and how.
//!
//! <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>

use std::time::Duration;

/// What a number means for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asking again is of no use before somebody has acted.
    Permanent {
        mend: &'static str,
    },
    Throttled {
        after: Duration,
    },
    Transient,
}

/// A number that is not in the table is taken as permanent: Entra refused with a reason, and a person should read it.
pub fn classify(number: u32) -> Class {
    let mend = match number {
        7_000_215 => "the client secret is wrong: configure the secret's value, not its id",
        7_000_222 => "the client secret has expired: create a new one in the app registration and configure it",
        7_000_218 => "Entra found no client secret in the request: configure one",
        700_016 => {
            "the application is not known in this tenant: check `client_id` and `tenant_id`; \
             a new application takes some minutes"
        }
        7_000_112 | 70_001 | 1_000_031 => {
            "the application is disabled: enable it in the tenant's enterprise applications"
        }
        700_027 | 50_012 => "the certificate does not fit: register its public key in the app registration",
        1_000_502 => "the certificate has expired or is not valid yet: register and configure a new one",
        700_024 => "the signed assertion is outside its time: set this machine's clock",
        700_030 => "the certificate's subject is not authorised: register this certificate in the app registration",
        700_025 => "the application is a public client: remove its credential or make it a confidential client",
        70_021 | 700_213 | 700_211 => {
            "no federated credential fits: compare its issuer, subject and audience with the token's; \
             a new one takes some minutes"
        }
        90_002 | 900_023 => "the tenant was not found: check `tenant_id` and `cloud`",
        90_038 | 900_382 | 900_432 => "the tenant lives in another national cloud: set `cloud`",
        500_011 | 50_001 => "the resource was not found: check the audience of `cloud`",
        70_011 | 700_022 | 1_002_012 => "the scope is wrong: check the audience of `cloud`",
        53_003 | 530_035 => "a Conditional Access policy blocks the application: exempt it",
        // Too many identical requests: only minutes of silence help.
        50_196 => return Class::Throttled { after: Duration::from_mins(5) },
        90_055 => return Class::Throttled { after: Duration::from_mins(1) },
        90_061 | 90_006 | 90_012 | 90_024 | 90_033 | 90_090 | 50_000 => return Class::Transient,
        _ => "look the code up at https://login.microsoftonline.com/error",
    };
    Class::Permanent { mend }
}

/// Whether the refusal concerns the one client secret that was shown, so that another may be taken.
pub fn is_of_the_secret(number: u32) -> bool {
    matches!(number, 7_000_215 | 7_000_222)
}
