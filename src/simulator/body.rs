//! A body on its way: whole, in pieces, padded, or cut off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::connection::Line;
use super::reply::Travel;

/// What has been sent is given this long to leave before the line is cut.
const BEFORE_THE_CUT: Duration = Duration::from_millis(20);
/// Padding goes out in pieces of this many spaces.
const SPACES: &[u8] = &[b' '; 1 << 16];

/// What happens after the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Complete,
    Reset,
    Close,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Body {
    rest: Bytes,
    padding: u64,
    piece: usize,
    pause: Duration,
    announced: u64,
    ending: Ending,
    nap: Option<Pin<Box<Sleep>>>,
    line: Option<Arc<Line>>,
}

impl Body {
    pub(super) fn new(body: Bytes, travel: Travel, line: &Arc<Line>) -> Self {
        let length = body.len() as u64;
        let mut out = Self {
            rest: body,
            padding: 0,
            piece: usize::MAX,
            pause: Duration::ZERO,
            announced: length,
            ending: Ending::Complete,
            nap: None,
            line: None,
        };
        match travel {
            Travel::Plain | Travel::Hang | Travel::Reset => {}
            Travel::ResetAfter(bytes) => out.cut(bytes, Ending::Reset, line),
            Travel::Truncate(bytes) => out.cut(bytes, Ending::Close, line),
            Travel::Drip { bytes, pause } => (out.piece, out.pause) = (bytes, pause),
            Travel::Pad(bytes) => {
                out.padding = bytes.saturating_sub(length);
                out.announced = length + out.padding;
            }
        }
        out
    }

    fn cut(&mut self, bytes: usize, ending: Ending, line: &Arc<Line>) {
        // Whatever is cut was announced as longer than what comes.
        self.announced = self.announced.max(bytes as u64 + 1);
        self.rest.truncate(bytes);
        self.ending = ending;
        self.line = Some(Arc::clone(line));
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if !self.rest.is_empty() {
            let size = self.piece.min(self.rest.len());
            return Some(self.rest.split_to(size));
        }
        let size = self.padding.min(SPACES.len() as u64);
        self.padding -= size;
        (size > 0).then(|| Bytes::from_static(&SPACES[..usize::try_from(size).unwrap_or(0)]))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(nap) = &mut self.nap {
            std::task::ready!(nap.as_mut().poll(context));
            self.nap = None;
            if self.rest.is_empty() && self.ending != Ending::Complete {
                match (self.line.take(), self.ending) {
                    (Some(line), Ending::Reset) => line.reset(),
                    (Some(line), _) => line.close(),
                    (None, _) => {}
                }
                // The connection is being dropped, and this body with it.
                return Poll::Pending;
            }
        }
        if let Some(piece) = self.next_piece() {
            if !self.pause.is_zero() {
                self.nap = Some(Box::pin(sleep(self.pause)));
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.ending == Ending::Complete || self.line.is_none() {
            return Poll::Ready(None);
        }
        let mut nap = Box::pin(sleep(BEFORE_THE_CUT));
        let is_over = nap.as_mut().poll(context).is_ready();
        self.nap = Some(nap);
        if is_over {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.padding == 0 && self.ending == Ending::Complete
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.rest.len() as u64 + self.padding;
        if self.ending == Ending::Complete {
            SizeHint::with_exact(left)
        } else {
            SizeHint::with_exact(self.announced)
        }
    }
}
