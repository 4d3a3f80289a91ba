//! Both services in a box: for trying the bridge out, for the demo and for tests.
