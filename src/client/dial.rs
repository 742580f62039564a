//! How connections are opened: no more than are needed, and not behind the throttle's back.
//!
//! A request that finds no idle connection begins to open one, and takes an idle one after all
//! if that comes back first; the opening then goes on in a task of its own, for nobody. Since a
//! connection comes back a moment after its answer was read, that would happen all the time.
//! Therefore each opening waits that moment, and for those that go on for nobody; it is given up
//! where it is for nobody itself.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::task;
use tower_layer::Layer;
use tower_service::Service;

use crate::throttle::Throttle;

/// The moment in which a connection may come back.
const MOMENT: Duration = Duration::from_millis(2);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Puts [`Dial`] around what opens connections.
#[derive(Clone)]
pub(super) struct DialLayer(Arc<Exchange>);

/// What all openings know of each other.
struct Exchange {
    throttle: Arc<Throttle>,
    /// Openings that go on for nobody; their connections are for whoever comes next.
    spare: AtomicUsize,
}

impl DialLayer {
    pub(super) fn new(throttle: Arc<Throttle>) -> Self {
        Self(Arc::new(Exchange {
            throttle,
            spare: AtomicUsize::new(0),
        }))
    }
}

impl<S> Layer<S> for DialLayer {
    type Service = Dial<S>;

    fn layer(&self, inner: S) -> Dial<S> {
        let exchange = Arc::clone(&self.0);
        Dial { inner, exchange }
    }
}

/// Opens a connection where it is still wanted after a moment.
#[derive(Clone)]
pub(super) struct Dial<S> {
    inner: S,
    exchange: Arc<Exchange>,
}

impl<S, R> Service<R> for Dial<S>
where
    S: Service<R, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, address: R) -> Self::Future {
        // The one that is ready is taken along.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let exchange = Arc::clone(&self.exchange);
        Box::pin(async move {
            let asker = task::try_id();
            let is_for_nobody = || task::try_id() != asker;
            let is_any_spare = || exchange.spare.load(Ordering::Relaxed) > 0;
            let mut is_waiting = true;
            while is_waiting {
                // One that was opened for nobody needs a moment, too, until it can be had.
                is_waiting = is_any_spare();
                tokio::time::sleep(MOMENT).await;
                if is_for_nobody() {
                    return Err("another connection came back first".into());
                }
                is_waiting |= is_any_spare();
            }
            let mut opening = pin!(inner.call(address));
            let mut spare = None;
            let opened = poll_fn(|context| {
                if spare.is_none() && is_for_nobody() {
                    spare = Some(Spare::begin(&exchange.spare));
                }
                opening.as_mut().poll(context)
            });
            let connection = opened.await?;
            if spare.is_none() {
                // The request had its permit before all this, and leaves now.
                exchange.throttle.leaves_late();
            }
            Ok(connection)
        })
    }
}

/// One opening that goes on for nobody.
struct Spare<'a>(&'a AtomicUsize);

impl<'a> Spare<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Spare<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
