//! The storage node: sockets, files, threads and time around the pure rooms.
