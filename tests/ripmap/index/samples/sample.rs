use std::collections::{HashMap, hash_map::{self, Entry as E}};
use crate::store::Store;
mod child;

/// A cache of values.
///
/// Second paragraph.
#[derive(Debug)]
pub struct Cache { items: HashMap<String, u32> }
pub trait Load: Send { fn load(&self, key: &str) -> Option<u32>; }
impl Cache {
    /// Makes an empty one.
    pub fn new() -> Self { Cache { items: HashMap::new() } }
    fn get(&self, key: &str) -> u32 { let s: Store = Store::open("the store path"); s.fetch(key); helper(key) }
}
impl Load for Cache { fn load(&self, key: &str) -> Option<u32> { Some(self.get(key)) } }
enum Mode { Fast, Slow }
fn helper(key: &str) -> u32 { panic!("cannot find the key {}", key) }
const LIMIT: usize = 3;
macro_rules! twice { ($x:expr) => { $x + $x } }
