//! Does the decoder read any bytes as the reference of the tests reads them?

#![no_main]

#[path = "../../tests/it/hostile/reference.rs"]
mod reference;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    reference::agree(body, 998);
});
