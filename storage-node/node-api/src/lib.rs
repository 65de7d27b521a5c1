//! Reports and orders: the only wire types that operator and storage node share.
