//! Where requests and their bytes are: in pools, or on the heap.

use std::future::Future;
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastalloc::{Error, PoolConfig, Poolable, Result, ThreadSafeHandle, ThreadSafePool};

/// What the server asks for memory.
pub(crate) trait Memory: Send + Sync + 'static {
    type Request: DerefMut<Target = Request> + Send;
    type Buffer: AsMut<Vec<u8>> + Send;

    fn request(&self) -> impl Future<Output = Result<Self::Request>> + Send;

    /// An empty buffer with room for [`buffer_size`](Self::buffer_size) bytes.
    fn buffer(&self) -> impl Future<Output = Result<Self::Buffer>> + Send;

    fn buffer_size(&self) -> usize;
}

/// The head of a request, and where its body is in the buffer.
#[derive(Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body_start: usize,
    pub(crate) body_length: usize,
}

impl Poolable for Request {}

impl Request {
    fn reset(&mut self) {
        self.method.clear();
        self.path.clear();
    }
}

/// A new `Box` and new `Vec`s for each request.
pub(crate) struct Heap {
    pub(crate) buffer_size: usize,
}

impl Memory for Heap {
    type Request = Box<Request>;
    type Buffer = Vec<u8>;

    async fn request(&self) -> Result<Self::Request> {
        Ok(Box::default())
    }

    async fn buffer(&self) -> Result<Self::Buffer> {
        Ok(Vec::with_capacity(self.buffer_size))
    }

    fn buffer_size(&self) -> usize {
        self.buffer_size
    }
}

/// Requests and buffers that are used again, and a limit for both.
pub(crate) struct Pools {
    requests: ThreadSafePool<Request>,
    buffers: ThreadSafePool<Vec<u8>>,
    buffer_size: usize,
    buffers_made: Arc<AtomicUsize>,
    waits: AtomicUsize,
}

impl Pools {
    /// A request needs two buffers. Whoever has a request finds them vacant: if requests were not limited, all buffers
    /// could be taken by requests that wait for their second one.
    pub(crate) fn new(requests: usize, buffer_size: usize) -> Result<Self> {
        let buffers_made = Arc::new(AtomicUsize::new(0));
        let make = {
            let made = Arc::clone(&buffers_made);
            move || {
                made.fetch_add(1, Ordering::Relaxed);
                Vec::with_capacity(buffer_size)
            }
        };
        let clear = move |buffer: &mut Vec<u8>| {
            buffer.clear();
            buffer.capacity() <= 2 * buffer_size // Rather a new one than a huge one kept for ever.
        };
        let requests = PoolConfig::builder().capacity(requests).reset_fn(Request::default, Request::reset).build()?;
        let buffers = PoolConfig::builder().capacity(2 * requests.capacity()).reset_fn(make, clear).build()?;
        Ok(Self {
            requests: ThreadSafePool::with_config(requests)?,
            buffers: ThreadSafePool::with_config(buffers)?,
            buffer_size,
            buffers_made,
            waits: AtomicUsize::new(0),
        })
    }

    pub(crate) fn describe(&self) -> String {
        let Self { requests, buffers, buffer_size, .. } = self;
        let (made, waits) = (self.buffers_made.load(Ordering::Relaxed), self.waits.load(Ordering::Relaxed));
        format!(
            "{} requests at once, {waits} had to wait; {made} buffers made, {} KiB; in use now: {} requests, {} buffers",
            requests.capacity(),
            (made * buffer_size) >> 10,
            requests.allocated(),
            buffers.allocated(),
        )
    }
}

impl Memory for Pools {
    type Request = ThreadSafeHandle<Request>;
    type Buffer = ThreadSafeHandle<Vec<u8>>;

    async fn request(&self) -> Result<Self::Request> {
        match self.requests.acquire() {
            Err(Error::PoolExhausted { .. }) => {
                self.waits.fetch_add(1, Ordering::Relaxed);
                self.requests.acquire_async().await
            }
            result => result,
        }
    }

    async fn buffer(&self) -> Result<Self::Buffer> {
        self.buffers.acquire_async().await
    }

    fn buffer_size(&self) -> usize {
        self.buffer_size
    }
}
