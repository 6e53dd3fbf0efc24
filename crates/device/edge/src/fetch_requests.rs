//! Requests of `lightship fetch` that bring something along, on the Unix socket only: how traces stand, records that were read
//! from the recorder's files or from history.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use model::{Lane, Signal, TraceId};

use crate::agent::Agent;
use crate::commands::parameter;
use pipeline::{NotTaken, Source, Standing};

/// The most bytes of records in one request: one frame of them, or one large record.
const MOST: usize = 640 << 10;
/// How long one of them waits for its commit.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = (StatusCode, String);

fn bad(why: impl Into<String>) -> Answer {
    (StatusCode::BAD_REQUEST, why.into())
}

/// The lane of a request, where it names one.
pub(crate) fn lane_of(query: &str) -> Result<Option<Lane>, String> {
    let name = parameter(query, "lane").filter(|name| !name.is_empty());
    name.map(|name| name.parse().map_err(|_| format!("there is no lane {name}"))).transpose()
}

async fn collect(mut body: Incoming) -> Result<Vec<u8>, Answer> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| bad(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > MOST {
                return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {MOST} bytes at once")));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// `POST /fetch/traces`, `/fetch/keep`, `/fetch/take` and `/fetch/done`.
pub(crate) async fn answer(request: Request<Incoming>, agent: &Agent) -> Answer {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let lane = match lane_of(query) {
        Ok(lane) => lane,
        Err(why) => return bad(why),
    };
    let body = match collect(body).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let shared = agent.shared();
    let now = shared.clock.now_ns();
    let traces = || -> Vec<TraceId> { body.as_chunks::<16>().0.iter().map(|id| TraceId(*id)).collect() };
    match head.uri.path() {
        // A letter for each trace id.
        "/fetch/traces" => {
            let standings = shared.pipeline.borrow_mut().standings(&traces(), lane, now);
            (StatusCode::OK, standings.into_iter().map(Standing::letter).collect())
        }
        "/fetch/keep" => {
            shared.pipeline.borrow_mut().keep_fetched(&traces(), now);
            committed(agent, String::new()).await
        }
        // The number of records taken, once they are durable.
        "/fetch/take" => {
            let signal = parameter(query, "signal");
            let signal = Signal::ALL.into_iter().find(|one| Some(one.name()) == signal.as_deref());
            let source = match parameter(query, "from").as_deref() {
                Some("recorder") => Source::Recorder,
                Some("history") => Source::History,
                _ => return bad("from where? from=recorder or from=history"),
            };
            let (Some(lane), Some(signal)) = (lane, signal) else { return bad("of which signal, into which lane?") };
            let taken = shared.pipeline.borrow_mut().take_fetched(signal, lane, source, body);
            match taken {
                Ok(0) => (StatusCode::OK, "0".to_owned()),
                Ok(records) => committed(agent, records.to_string()).await,
                Err(NotTaken::Wait) => (StatusCode::SERVICE_UNAVAILABLE, "too much waits for the disk".to_owned()),
                Err(NotTaken::Bad(why)) => bad(why),
            }
        }
        // The last sequence of each lane that every destination is done with.
        "/fetch/done" => match shared.disk.status().await {
            Ok(state) => {
                let lines = state.heads.iter().map(|ends| format!("{} {}\n", ends.lane, ends.done));
                (StatusCode::OK, lines.collect())
            }
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        },
        _ => (StatusCode::NOT_FOUND, "there are /fetch/traces, /fetch/keep, /fetch/take and /fetch/done".to_owned()),
    }
}

/// Answers once everything that is ready is durable. What is taken stays taken when that is not so in time.
async fn committed(agent: &Agent, answer: String) -> Answer {
    match tokio::time::timeout(PATIENCE, agent.shared().all_settled()).await {
        Ok(()) => (StatusCode::OK, answer),
        Err(_) => bad("the disk does not take it now; what was given waits in memory and is delivered when it does"),
    }
}
