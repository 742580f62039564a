//! Is a ledger entry of any bytes refused, or written again as it was read?

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rollbook::fuzz_entry(bytes));
