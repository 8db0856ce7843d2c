//! A second thread, which does what it is given while the first one waits.

use std::mem;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// Starts when it is needed, and ends when it is dropped.
#[derive(Default)]
pub(crate) struct Elsewhere(Option<Worker>);

struct Worker {
    jobs: Sender<Job>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

type Job = Box<dyn FnOnce() + Send>;

struct AssertSend<T>(T);

// SAFETY: `Elsewhere::run` demands it.
unsafe impl<T> Send for AssertSend<T> {}

impl<T: FnOnce()> AssertSend<T> {
    fn call(self) {
        (self.0)();
    }
}

impl Elsewhere {
    /// Runs `job` on the other thread.
    ///
    /// # Safety
    ///
    /// What `job` uses may be used by another thread, as long as this one waits.
    pub(crate) unsafe fn run(&mut self, job: impl FnOnce()) {
        let worker = self.0.get_or_insert_with(Worker::start);
        let job = AssertSend(job);
        let job: Box<dyn FnOnce() + Send + '_> = Box::new(move || job.call());
        // SAFETY: what it borrows is there until it is done, which is waited for below.
        let job = unsafe { mem::transmute::<Box<dyn FnOnce() + Send + '_>, Job>(job) };
        worker.jobs.send(job).unwrap();
        worker.done.recv().unwrap();
    }
}

impl Worker {
    fn start() -> Self {
        let ((jobs, received), (finished, done)) = (channel::<Job>(), channel());
        let thread = thread::spawn(move || {
            for job in received {
                job();
                finished.send(()).unwrap();
            }
        });
        Self { jobs, done, thread }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(Worker { jobs, thread, .. }) = self.0.take() {
            drop(jobs);
            thread.join().unwrap();
        }
    }
}
