//! Any body, in portions, in every form of exposition: no panic; what is taken passes the door as it is; the same series are marked as ended
//! when the target dies; and the same bytes in other portions give the same requests.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::inspect;
use scrape::{Job, Protocol, Scrape, ScrapeError, Scraped, Target, TargetState};

fn scrape(
    job: &Job,
    target: &Target,
    protocol: Protocol,
    body: &[u8],
    portion: usize,
) -> Result<(Scraped, TargetState), ScrapeError> {
    let mut state = TargetState::default();
    let mut scrape = Scrape::new(job, target, &state, protocol, 1_700_000_000_000_000_000);
    for bytes in body.chunks(portion) {
        scrape.push(bytes)?;
    }
    let finished = scrape.finish(Duration::from_millis(1))?;
    let scraped = finished.settle(&mut state);
    Ok((scraped, state))
}

fuzz_target!(|input: &[u8]| {
    let Some((form, body)) = input.split_first() else { return };
    let mut job = Job::new("j");
    job.native_histograms = form & 16 != 0;
    job.always_classic = form & 32 != 0;
    job.honor_labels = form & 64 != 0;
    let target = Target::new(&job, [("__address__", "a:1"), ("x", "y")]).expect("it is one").expect("no rule drops it");
    let protocol = match form & 3 {
        0 => Protocol::PrometheusText0_0_4,
        1 => Protocol::OpenMetricsText1_0_0,
        2 => Protocol::OpenMetricsText2_0_0,
        _ => Protocol::PrometheusProto,
    };
    let whole = scrape(&job, &target, protocol, body, body.len().max(1));
    let portions = scrape(&job, &target, protocol, body, 3);
    match (whole, portions) {
        (Ok((one, mut state)), Ok((other, _))) => {
            assert_eq!(one, other, "portions change nothing");
            for request in &one.requests {
                inspect(Signal::Metrics, request).expect("what was written is readable");
            }
            for request in state.failed(&target, 1_700_000_001_000_000_000, Duration::ZERO).requests {
                inspect(Signal::Metrics, &request).expect("what was written is readable");
            }
        }
        (Err(_), Err(_)) => {}
        (one, other) => panic!("portions decide: {:?} {:?}", one.err(), other.err()),
    }
});
