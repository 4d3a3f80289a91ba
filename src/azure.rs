//! The Azure side: what Azure Monitor sends us and what we call there. A sibling of `signl4`, which it never imports.

pub mod authenticate;
pub mod credential;
pub mod deliver;
pub mod inspect;
pub mod parse;
pub mod poll;
pub mod receive;
