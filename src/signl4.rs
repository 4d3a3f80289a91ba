//! The SIGNL4 side: what SIGNL4 sends us and what we call there. A sibling of `azure`, which it never imports.

pub mod authenticate;
pub mod credential;
pub mod deliver;
pub mod inspect;
pub mod parse;
pub mod poll;
pub mod receive;
