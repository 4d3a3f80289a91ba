//! Faults: of the disk, of the network, of the clock, of the process itself. What is promised holds through all of them.

mod alarm;
mod at_start;
mod audit;
mod backup;
mod books;
mod flood;
mod life;
mod load;
mod network;
mod process;
mod retention;
mod rounds;
mod shim;
mod time;
mod while_running;
