//! Protobuf wire.
