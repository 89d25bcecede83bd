//! Goal: the command line as operators and scripts meet it: names, exit status, one-line errors with a remedy, JSON shapes,
//! and no secret anywhere. Method: the built program, run as a process on a temporary data directory, with and without a
//! server that holds the catalog (the server's own control socket, in this process).

mod site;

mod process;

mod cameras;

mod demo;

mod secrets;

mod server;

mod unrecorded;

mod usage;
