//! Log lines on the program's own standard input. Its end ends nothing else.

use std::rc::Rc;

use tokio::time::timeout;

use crate::Feed;
use crate::lines::{CHUNK, Giver, LineSettings, Lines};
use crate::waiting::Waiting;

/// Reads to the end of the input.
pub async fn run(settings: LineSettings, feed: Feed, wall_ns: Rc<dyn Fn() -> u64>) {
    let giver = Giver::new(feed, wall_ns);
    let unreadable =
        |error: std::io::Error| giver.feed.state().error("unreadable", 1, &format!("standard input: {error}"));
    let mut input = match Waiting::new(std::io::stdin(), "stdin", CHUNK) {
        Ok(input) => input,
        Err(error) => return unreadable(error),
    };
    let mut lines = Lines::new(&settings, giver.clone());
    loop {
        let read = input.next();
        let chunk = if lines.is_waiting() {
            match timeout(settings.flush_after, read).await {
                Ok(chunk) => chunk,
                Err(_) => {
                    lines.flush().await;
                    continue;
                }
            }
        } else {
            read.await
        };
        match chunk {
            Ok(chunk) if chunk.is_empty() => break,
            Ok(chunk) => lines.push(&chunk).await,
            Err(error) => {
                unreadable(error);
                break;
            }
        }
    }
    lines.finish().await;
}
