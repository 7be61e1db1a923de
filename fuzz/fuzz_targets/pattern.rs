#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| petasos_fuzz_properties::pattern::check(bytes));
