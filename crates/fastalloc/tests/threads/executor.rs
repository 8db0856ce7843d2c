//! A small runtime for futures: some threads, a queue, and no timers.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// What is to be polled, by the numbers of the tasks.
#[derive(Default)]
struct Queue {
    ready: Mutex<VecDeque<usize>>,
    changed: Condvar,
}

struct TaskWaker {
    task: usize,
    queue: Arc<Queue>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.queue.ready.lock().unwrap().push_back(self.task);
        self.queue.changed.notify_one();
    }
}

/// Runs all tasks to their ends.
pub(crate) fn run<F: Future<Output = ()> + Send>(threads: usize, tasks: impl Iterator<Item = F>) {
    let tasks: Vec<_> = tasks.map(|task| Mutex::new(Some(Box::pin(task)))).collect();
    let queue = Arc::new(Queue::default());
    queue.ready.lock().unwrap().extend(0..tasks.len());
    let left = AtomicUsize::new(tasks.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let mut ready = queue.ready.lock().unwrap();
                    let number = loop {
                        if left.load(Relaxed) == 0 {
                            return;
                        }
                        match ready.pop_front() {
                            Some(number) => break number,
                            None => ready = queue.changed.wait(ready).unwrap(),
                        }
                    };
                    drop(ready);
                    let waker = Waker::from(Arc::new(TaskWaker { task: number, queue: Arc::clone(&queue) }));
                    let mut task = tasks[number].lock().unwrap();
                    let Some(future) = &mut *task else { continue };
                    if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                        *task = None;
                        let _ready = queue.ready.lock().unwrap();
                        left.fetch_sub(1, Relaxed);
                        queue.changed.notify_all();
                    }
                }
            });
        }
    });
}

/// Lets others go on, so many times.
pub(crate) struct Yield(pub(crate) usize);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.0.checked_sub(1) {
            None => Poll::Ready(()),
            Some(left) => {
                self.0 = left;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// The result of a future, or `None` if it is not ready after some polls. It is dropped then.
pub(crate) struct Impatient<F> {
    pub(crate) future: Option<F>,
    pub(crate) polls: usize,
}

impl<F: Future + Unpin> Future for Impatient<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        if let Poll::Ready(result) = Pin::new(future).poll(context) {
            return Poll::Ready(Some(result));
        }
        match self.polls.checked_sub(1) {
            None => self.future = None,
            Some(left) => self.polls = left,
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
