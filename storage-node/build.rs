//! Generates the peer protocol's types and stubs from `proto/peer.proto`; needs `protoc`.

fn main() -> std::io::Result<()> {
    tonic_prost_build::configure().bytes(".").compile_protos(&["proto/peer.proto"], &["proto"])
}
