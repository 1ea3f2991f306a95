use std::sync::LazyLock;

use super::*;

/// The shipped catalogue, compiled once for all tests.
pub(crate) fn shipped_catalogue() -> &'static Catalogue {
    static SHIPPED: LazyLock<Catalogue> =
        LazyLock::new(|| Catalogue::embedded().unwrap_or_else(|problems| panic!("{problems}")));
    &SHIPPED
}

#[test]
fn the_shipped_catalogue_is_right() {
    let catalogue = shipped_catalogue();
    assert!(catalogue.stores().len() > 300);
}
