//! The product, in one pure function: what an event obliges us to.
