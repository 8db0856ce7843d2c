//! What the derived implementation does in a pool.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::marker::PhantomData;

use fastalloc::{FixedPool, PoolConfig, Poolable};

thread_local! {
    static EVENTS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

fn log(event: &'static str) {
    EVENTS.with_borrow_mut(|events| events.push(event));
}

fn events() -> Vec<&'static str> {
    EVENTS.take()
}

#[derive(Poolable)]
#[poolable(on_acquire = Self::acquired, on_release = released)]
struct Logged;

impl Logged {
    fn acquired(&mut self) {
        log("acquired");
    }
}

fn released(_: &mut Logged) {
    log("released");
}

impl Drop for Logged {
    fn drop(&mut self) {
        log("dropped");
    }
}

#[test]
fn hooks_of_a_value_run_before_the_handle_is_returned_and_before_the_destructor() {
    let pool = FixedPool::new(1).unwrap();
    let handle = pool.allocate(Logged).unwrap();
    assert_eq!(events(), ["acquired"]);
    drop(handle);
    assert_eq!(events(), ["released", "dropped"]);
}

#[test]
fn hooks_of_a_recycled_object_run_around_each_use() {
    let config = PoolConfig::builder()
        .capacity(1)
        .reset_fn(
            || {
                log("made");
                Logged
            },
            |_| log("reset"),
        )
        .build();
    let pool = FixedPool::with_config(config.unwrap()).unwrap();
    drop(pool.acquire().unwrap());
    assert_eq!(events(), ["made", "acquired", "released", "reset"]);
    drop(pool.acquire().unwrap());
    assert_eq!(events(), ["acquired", "released", "reset"]);
    drop(pool);
    assert_eq!(events(), ["dropped"]);
}

#[test]
fn one_hook_leaves_the_other_alone() {
    #[derive(Poolable)]
    #[poolable(on_release = Self::on_release)]
    struct Released;

    impl Released {
        // The hook's own name: an inherent method goes before that of the trait.
        fn on_release(&mut self) {
            log("released");
        }
    }

    let pool = FixedPool::new(1).unwrap();
    let handle = pool.allocate(Released).unwrap();
    assert_eq!(events(), [""; 0]);
    drop(handle);
    assert_eq!(events(), ["released"]);
}

#[test]
fn attributes_add_up_and_end_with_a_comma() {
    #[derive(Poolable)]
    #[poolable(on_acquire = Self::increment,)]
    #[poolable(on_release = Self::increment)]
    #[poolable()]
    struct Counter<'a>(&'a Cell<u32>);

    impl Counter<'_> {
        fn increment(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    let count = Cell::new(0);
    let pool = FixedPool::new(1).unwrap();
    drop(pool.allocate(Counter(&count)).unwrap());
    assert_eq!(count.get(), 2);
}

#[derive(Poolable)]
#[poolable(on_acquire = hooks::add::<2>, on_release = <Self as Double>::double)]
struct Number(u32);

mod hooks {
    pub(super) fn add<const N: u32>(number: &mut super::Number) {
        number.0 += N;
    }
}

trait Double {
    fn double(&mut self);
}

impl Double for Number {
    fn double(&mut self) {
        self.0 *= 2;
    }
}

#[test]
fn function_may_be_generic_qualified_or_in_another_module() {
    let pool = FixedPool::new(1).unwrap();
    let mut number = pool.allocate(Number(1)).unwrap();
    assert_eq!(number.0, 3);
    number.on_release();
    assert_eq!(number.0, 6);
}

/// Not [`Poolable`], nor anything else.
struct Plain;

#[test]
fn parameters_get_no_bounds_and_keep_their_own() {
    #[derive(Poolable)]
    #[poolable(on_acquire = Self::count)]
    struct Generic<'a, T: 'a + ?Sized, U, const N: usize = 2>
    where
        U: Clone + Debug,
    {
        counts: [u32; N],
        unit: U,
        marker: PhantomData<&'a T>,
    }

    impl<T: ?Sized, U, const N: usize> Generic<'_, T, U, N>
    where
        U: Clone + Debug,
    {
        fn count(&mut self) {
            self.counts = [self.counts.len() as u32; N];
        }
    }

    let pool = FixedPool::new(1).unwrap();
    let value = Generic::<[Plain], _, 3> { counts: [0; 3], unit: "m", marker: PhantomData };
    let handle = pool.allocate(value).unwrap();
    assert_eq!((handle.counts, handle.unit), ([3, 3, 3], "m"));
}

#[test]
fn enums_unions_and_unit_structs_are_poolable() {
    #[derive(Poolable)]
    #[poolable(on_release = Self::disconnect)]
    #[expect(dead_code, reason = "what is in the variants is not the point")]
    enum Connection<S> {
        Open { socket: S, peer: Plain },
        Waiting(u32),
        Closed,
    }

    impl<S> Connection<S> {
        fn disconnect(&mut self) {
            log(if matches!(self, Self::Closed) { "was closed" } else { "disconnected" });
            *self = Self::Closed;
        }
    }

    let pool = FixedPool::new(3).unwrap();
    drop(pool.allocate(Connection::Open { socket: Plain, peer: Plain }).unwrap());
    drop(pool.allocate(Connection::Closed).unwrap());
    assert_eq!(events(), ["disconnected", "was closed"]);

    #[derive(Poolable, Clone, Copy)]
    union Bits {
        float: f32,
        integer: u32,
    }

    let pool = FixedPool::new(1).unwrap();
    let bits = pool.allocate(Bits { float: 1.0 }).unwrap();
    // SAFETY: every float is an integer of the same size.
    assert_eq!(unsafe { bits.integer }, 0x3f80_0000);

    #[derive(Poolable)]
    struct Unit;

    assert!(FixedPool::new(1).unwrap().allocate(Unit).is_ok());
}

#[test]
fn derived_types_need_nothing_in_scope_and_may_shadow_names() {
    mod bare {
        mod core {}
        #[expect(dead_code, reason = "the macro must not use these")]
        trait Poolable {}

        #[derive(fastalloc::Poolable)]
        pub(super) struct Bare;
    }

    assert!(FixedPool::new(1).unwrap().allocate(bare::Bare).is_ok());
}

#[test]
fn derive_works_in_the_output_of_another_macro() {
    macro_rules! define {
        ($name:ident, $function:path) => {
            #[derive(Poolable)]
            #[poolable(on_acquire = $function)]
            struct $name(u32);
        };
    }
    define!(Ticket, Ticket::stamp);

    impl Ticket {
        fn stamp(&mut self) {
            self.0 += 1;
        }
    }

    let pool = FixedPool::new(1).unwrap();
    assert_eq!(pool.allocate(Ticket(6)).unwrap().0, 7);
}
