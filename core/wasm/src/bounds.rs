//! What a file may come to while it is compiled, seen from the file alone. There are places
//! where it says "the same once more", or a number, so that a little one grows as large as
//! it likes. What its functions come to is in `code.rs`.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Encoding,
    Parser, Payload, TableSectionReader,
};

use crate::load::malformed;
use crate::pool::Shape;

/// Bytes of a component besides its modules, when all of it is written out, as wasmtime does:
/// each component in it where it is defined, and once more wherever it is instantiated. What
/// is made of Python has 85,059, twice, and of JavaScript or Rust less than 4,000.
const MOST_BYTES: u64 = 256 << 10;

/// Holds a component to its bounds.
///
/// # Errors
/// What was expected, and what was found.
pub(crate) fn check(bytes: &[u8], shape: &Shape) -> Result<(), String> {
    let mut found = Found::default();
    for payload in Parser::new(0).parse_all(bytes) {
        found.note(&payload.map_err(malformed)?, shape)?;
    }
    let written = found.defined.saturating_add(found.instantiated);
    if written > MOST_BYTES {
        return Err(format!(
            "expected a component of at most {MOST_BYTES} bytes besides its modules, with those that are in it written out wherever they are instantiated: found {written}"
        ));
    }
    let (most, modules) = (shape.core_instances, found.modules);
    if modules > most {
        return Err(format!(
            "expected a component of at most {most} modules, found {modules}"
        ));
    }
    Ok(())
}

/// What there is in a file, as far as it was read.
#[derive(Default)]
struct Found {
    modules: u32,
    /// Bytes of all components, each once.
    defined: u64,
    /// Bytes of the outermost one with all that it instantiates.
    instantiated: u64,
    /// What is being read, the innermost last.
    open: Vec<Definition>,
}

enum Definition {
    Module,
    Component(Size),
}

#[derive(Default)]
struct Size {
    /// Bytes of a component with all that it instantiates.
    bytes: u64,
    /// The same of those that it can name, by their numbers.
    components: Vec<u64>,
}

impl Found {
    fn note(&mut self, payload: &Payload<'_>, shape: &Shape) -> Result<(), String> {
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => {
                self.modules += 1;
                self.open.push(Definition::Module);
            }
            Payload::Version { range, .. } => {
                self.open.push(Definition::Component(Size::default()));
                self.add(range.len());
            }
            Payload::End(_) => self.close(),
            Payload::TableSection(tables) => check_tables(tables, shape)?,
            Payload::InstanceSection(it) => self.add(it.range().len()),
            Payload::CoreTypeSection(it) => self.add(it.range().len()),
            Payload::ComponentTypeSection(it) => self.add(it.range().len()),
            Payload::ComponentCanonicalSection(it) => self.add(it.range().len()),
            Payload::ComponentInstanceSection(instances) => {
                self.add(instances.range().len());
                for instance in instances.clone() {
                    self.instantiate(&instance.map_err(malformed)?);
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                self.add(aliases.range().len());
                for alias in aliases.clone() {
                    self.alias(&alias.map_err(malformed)?)?;
                }
            }
            // Those of which the size would not be known.
            Payload::ComponentImportSection(imports) => {
                self.add(imports.range().len());
                for import in imports.clone() {
                    refuse(import.map_err(malformed)?.ty.kind(), "imported")?;
                }
            }
            Payload::ComponentExportSection(exports) => {
                self.add(exports.range().len());
                for export in exports.clone() {
                    refuse(export.map_err(malformed)?.kind, "exported")?;
                }
            }
            // Of a component that is all, but for sections that wasmtime passes over or
            // refuses.
            _ => {}
        }
        Ok(())
    }

    /// The component that is being read.
    fn size(&mut self) -> Option<&mut Size> {
        match self.open.last_mut()? {
            Definition::Component(size) => Some(size),
            Definition::Module => None,
        }
    }

    fn add(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.defined += bytes;
        if let Some(size) = self.size() {
            size.bytes = size.bytes.saturating_add(bytes);
        }
    }

    fn instantiate(&mut self, instance: &ComponentInstance<'_>) {
        if let ComponentInstance::Instantiate {
            component_index, ..
        } = instance
            && let Some(size) = self.size()
            && let Some(other) = size.components.get(*component_index as usize)
        {
            size.bytes = size.bytes.saturating_add(*other);
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), String> {
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => refuse(kind, "taken from an instance"),
            ComponentAlias::Outer {
                kind: ComponentOuterAliasKind::Component,
                count,
                index,
            } => {
                let other = self.outer(count as usize, index as usize);
                let other = other.ok_or("expected the number of a component, found none")?;
                if let Some(size) = self.size() {
                    size.components.push(other);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The size of a component that is named so many components further out.
    fn outer(&self, count: usize, index: usize) -> Option<u64> {
        match self.open.iter().nth_back(count)? {
            Definition::Component(size) => size.components.get(index).copied(),
            Definition::Module => None,
        }
    }

    fn close(&mut self) {
        let Some(Definition::Component(Size { bytes, .. })) = self.open.pop() else {
            return;
        };
        match self.size() {
            Some(outer) => outer.components.push(bytes),
            None => self.instantiated = bytes,
        }
    }
}

fn refuse(kind: ComponentExternalKind, how: &str) -> Result<(), String> {
    if kind == ComponentExternalKind::Component {
        return Err(format!(
            "expected components that are defined where they are used, found one that is {how}"
        ));
    }
    Ok(())
}

/// wasmtime writes out what a table holds at first.
fn check_tables(tables: &TableSectionReader<'_>, shape: &Shape) -> Result<(), String> {
    let (most, found) = (shape.tables, tables.count());
    if found > most {
        return Err(format!(
            "expected at most {most} tables of a module, found {found}"
        ));
    }
    let most = shape.table_elements as u64;
    for table in tables.clone() {
        let found = table.map_err(malformed)?.ty.initial;
        if found > most {
            return Err(format!(
                "expected a table of at most {most} elements, found {found}"
            ));
        }
    }
    Ok(())
}
