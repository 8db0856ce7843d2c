//! What identifiers mean.

use fastalloc_trace::{
    Frame, Item, Module, ModuleId, Stack, StackId, StringId, Symbol, Symbols, Tables, TraceReader, TraceWriter,
    site_of_frame,
};

fn module(path: u32, start: u64) -> Item {
    let path = StringId(path);
    Item::Module(Module { path, build_id: vec![], load_address: start, start, length: 0x100 })
}

fn stack(parent: u32, address: u64) -> Item {
    Item::Stack(Stack { parent: StackId(parent), frame: Frame { module: None, address } })
}

/// Through the format, whose blocks must not change the order of modules and stacks.
fn tables(items: &[Item]) -> Tables {
    let mut writer = TraceWriter::new(Vec::new(), &Default::default()).unwrap();
    items.iter().for_each(|item| writer.item(item).unwrap());
    let trace = writer.finish().unwrap();
    let mut tables = Tables::default();
    TraceReader::new(&trace[..]).unwrap().for_each(|item| tables.add(&item.unwrap()));
    tables
}

#[test]
fn address_belongs_to_the_last_module_before_its_stack() {
    let [old, new] = ["old", "new"].map(|path| Item::String(path.into()));
    let items = [old, new, stack(0, 0x1010), module(0, 0x1000), stack(1, 0x1010), module(1, 0x1000), stack(2, 0x1010)];
    let tables = tables(&items);
    let sites = [1, 2, 3].map(|id| site_of_frame(&tables, StackId(id)));
    assert_eq!(sites, ["0x1010", "old+0x10", "new+0x10"]);
    let modules: Vec<_> = tables.located_frames(StackId(3)).map(|frame| frame.module).collect();
    assert_eq!(modules, [Some(ModuleId(1)), Some(ModuleId(0)), None]);
    assert_eq!(site_of_frame(&tables, StackId::EMPTY), "(unknown)");
}

#[test]
fn site_is_the_innermost_function_if_there_are_symbols() {
    let symbol = |name| Symbol { name: StringId(name), file: None, line: 0 };
    let frame = Frame { module: None, address: 0x1010 };
    let symbols = Item::Symbols(Symbols { frame, functions: vec![symbol(0), symbol(1)] });
    let names = ["inlined", "outer"].map(|name| Item::String(name.into()));
    let tables = tables(&[&names[..], &[symbols, stack(0, 0x1010)]].concat());
    assert_eq!(site_of_frame(&tables, StackId(1)), "inlined");
    assert_eq!(tables.symbols(frame).map(<[_]>::len), Some(2));
}
