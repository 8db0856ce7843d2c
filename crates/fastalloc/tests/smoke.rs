use fastalloc::*;
use std::rc::Rc;
#[test]
fn smoke() {
    let pool = FixedPool::<u64>::new(3).unwrap();
    let a = pool.allocate(1).unwrap();
    let b = pool.allocate(2).unwrap();
    assert_eq!((*a, *b, a.index(), b.index()), (1, 2, 0, 1));
    drop(a);
    let c = pool.allocate(3).unwrap();
    assert_eq!(c.index(), 0);
    let d = pool.allocate(4).unwrap();
    assert!(pool.try_allocate(5).is_none());
    drop((b, d));
    assert_eq!(pool.allocated(), 1);
    let g = GrowingPool::<String>::new(1).unwrap();
    let hs: Vec<_> = (0..10000).map(|i| g.allocate(i.to_string()).unwrap()).collect();
    for (i, h) in hs.iter().enumerate() {
        assert_eq!(**h, i.to_string());
        assert_eq!(h.index(), i);
    }
    drop(hs);
    assert!(g.is_empty());
    println!("{g:?} {} trimmed {} -> {}", g.bytes_reserved(), g.trim(), g.bytes_reserved());
    let rc = Rc::new(FixedPool::<String>::new(3).unwrap());
    let h = rc.allocate_rc("x".into()).unwrap();
    drop(rc);
    assert_eq!(*h, "x");
    drop(h);
    let s = g.allocate_shared("s".into()).unwrap();
    let w = s.downgrade();
    let s2 = w.upgrade().unwrap();
    assert_eq!((s.strong_count(), s.weak_count()), (2, 1));
    drop(s);
    drop(s2);
    assert!(w.upgrade().is_none());
    let dy: OwnedHandle<'_, dyn std::fmt::Display> = g.allocate("dyn".into()).unwrap().unsize(|s| s);
    assert_eq!(dy.to_string(), "dyn");
    drop(dy);
    assert!(g.is_empty());
    std::mem::forget(g.allocate("forgotten".to_string()).unwrap());
    for align in [1, 2, 8, 64, 4096, 16384, 32768, 1 << 20] {
        let p = FixedPool::<[u8; 3]>::with_config(PoolConfig::builder().capacity(10).alignment(align).build().unwrap())
            .unwrap();
        let hs: Vec<_> = (0..10).map(|i| p.allocate([i; 3]).unwrap()).collect();
        for (i, h) in hs.iter().enumerate() {
            assert_eq!(h.index(), i);
            assert_eq!(h.as_ptr().addr() % align, 0);
        }
        println!("{align} {}", p.bytes_reserved());
    }
}
