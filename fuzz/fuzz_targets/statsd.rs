//! Any datagram as lines of StatsD, gathered twice: no panic, what is written is a request that the door can read with a point for each series, and
//! series stay within their bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::inspect;
use statsd::{Gathered, read_line};

fuzz_target!(|input: &[u8]| {
    let mut gathered = Gathered::new(4096);
    for time in [1_000, 2_000, 9_000] {
        if time < 9_000 {
            for line in input.split(|byte| *byte == b'\n') {
                let _taken = read_line(line).map(|line| gathered.take(&line, time));
            }
        }
        assert!(gathered.len() < 30);
        let series = gathered.len() as u64;
        let (request, points) = gathered.finish(time + 500, 5_000, &[("service.name".into(), "s".into())]);
        let found = inspect(Signal::Metrics, &request).expect("what is written is readable");
        assert_eq!((points, found.records + found.rejected.total()), (series, series));
    }
    assert!(gathered.is_empty(), "what is idle is given up");
});
