//! The macro `#[derive(Poolable)]` of the crate `fastalloc`, which re-exports it with its feature
//! `derive`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, ExprPath, Fields, Ident, Result, Token, parse_macro_input};

/// Implements `fastalloc::Poolable` for a struct, an enum or a union.
///
/// The attribute `#[poolable(on_acquire = …, on_release = …)]` on the type names the functions that a
/// pool calls as hooks: paths of functions that take `&mut Self`. A hook without a function is not
/// overridden, and costs nothing. Type parameters get no bounds, since hooks do not go into fields.
///
/// # Examples
///
/// ```
/// use fastalloc::{FixedPool, Poolable};
///
/// #[derive(Poolable)]
/// struct Point(f32, f32);
///
/// #[derive(Poolable)]
/// #[poolable(on_acquire = greet, on_release = Self::log_out)]
/// struct Session<U> {
///     user: U,
///     messages: Vec<&'static str>,
/// }
///
/// fn greet<U>(session: &mut Session<U>) {
///     session.messages.push("hello");
/// }
///
/// impl<U> Session<U> {
///     fn log_out(&mut self) {
///         self.messages.clear();
///     }
/// }
///
/// let points = FixedPool::new(100)?;
/// let origin = points.allocate(Point(0.0, 0.0))?;
/// assert_eq!((origin.0, origin.1), (0.0, 0.0));
///
/// let sessions = FixedPool::new(10)?;
/// let session = sessions.allocate(Session { user: "ann", messages: vec![] })?;
/// assert_eq!((session.user, &*session.messages), ("ann", &["hello"][..]));
/// # Ok::<(), fastalloc::Error>(())
/// ```
///
/// A mistake is an error where it was made. This one says ``unknown key `on_aquire`; expected
/// `on_acquire` or `on_release` ``:
///
/// ```compile_fail
/// #[derive(fastalloc::Poolable)]
/// #[poolable(on_aquire = Self::reset)]
/// struct Buffer(Vec<u8>);
///
/// impl Buffer {
///     fn reset(&mut self) {
///         self.0.clear();
///     }
/// }
/// ```
///
/// And this one says that `Vec::clear` takes a `Vec` where the hook passes a `Buffer`:
///
/// ```compile_fail,E0308
/// #[derive(fastalloc::Poolable)]
/// #[poolable(on_release = Vec::<u8>::clear)]
/// struct Buffer(Vec<u8>);
/// ```
#[proc_macro_derive(Poolable, attributes(poolable))]
pub fn derive_poolable(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    expand(&item).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(item: &DeriveInput) -> Result<TokenStream> {
    let hooks = hooks(&item.attrs)?;
    if let Some(misplaced) = inner_attributes(&item.data).find(|attribute| is_ours(attribute)) {
        return Err(Error::new_spanned(misplaced, "hooks are the type's; move this attribute in front of it"));
    }
    let name = &item.ident;
    let (parameters, arguments, where_clause) = item.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #parameters ::fastalloc::Poolable for #name #arguments #where_clause {
            #(#hooks)*
        }
    })
}

/// All hooks that the attributes of the type name.
fn hooks(attributes: &[Attribute]) -> Result<Vec<Hook>> {
    let mut hooks = Vec::<Hook>::new();
    for attribute in attributes.iter().filter(|attribute| is_ours(attribute)) {
        for hook in attribute.parse_args_with(Punctuated::<Hook, Token![,]>::parse_terminated)? {
            if hooks.iter().any(|earlier| earlier.name == hook.name) {
                return Err(Error::new(hook.name.span(), format!("duplicate key `{}`", hook.name)));
            }
            hooks.push(hook);
        }
    }
    Ok(hooks)
}

fn is_ours(attribute: &Attribute) -> bool {
    attribute.path().is_ident("poolable")
}

/// The attributes of fields and variants.
fn inner_attributes(data: &Data) -> Box<dyn Iterator<Item = &Attribute> + '_> {
    fn of_fields(fields: &Fields) -> impl Iterator<Item = &Attribute> {
        fields.iter().flat_map(|field| &field.attrs)
    }
    match data {
        Data::Struct(data) => Box::new(of_fields(&data.fields)),
        Data::Enum(data) => {
            Box::new(data.variants.iter().flat_map(|variant| variant.attrs.iter().chain(of_fields(&variant.fields))))
        }
        Data::Union(data) => Box::new(data.fields.named.iter().flat_map(|field| &field.attrs)),
    }
}

/// A hook and the function that it calls: `on_acquire = Self::reset`.
struct Hook {
    name: Ident,
    function: ExprPath,
}

impl Parse for Hook {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if name != "on_acquire" && name != "on_release" {
            let message = format!("unknown key `{name}`; expected `on_acquire` or `on_release`");
            return Err(Error::new(name.span(), message));
        }
        if !input.peek(Token![=]) {
            return Err(Error::new(name.span(), format!("expected `{name} = path::of::a_function`")));
        }
        input.parse::<Token![=]>()?;
        let value = input.span();
        match input.parse() {
            Ok(function) if input.is_empty() || input.peek(Token![,]) => Ok(Self { name, function }),
            _ => Err(Error::new(value, "expected the path of a function, such as `Self::reset`, and nothing else")),
        }
    }
}

impl ToTokens for Hook {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { name, function } = self;
        // Where the compiler is to say that the function's type is wrong, or that it is the hook itself.
        tokens.extend(quote_spanned! {function.span()=>
            #[inline]
            fn #name(&mut self) {
                #function(self)
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_str;

    use super::expand;

    fn error(item: &str) -> String {
        expand(&parse_str(item).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn unknown_key_is_named_with_the_known_ones() {
        let message = "unknown key `on_aquire`; expected `on_acquire` or `on_release`";
        assert_eq!(error("#[poolable(on_aquire = reset)] struct S;"), message);
        let message = "unknown key `crate`; expected `on_acquire` or `on_release`";
        assert_eq!(error("#[poolable(on_release = reset, crate = x)] struct S;"), message);
    }

    #[test]
    fn duplicate_key_is_rejected_across_attributes() {
        let message = "duplicate key `on_release`";
        assert_eq!(error("#[poolable(on_release = a, on_release = a)] struct S;"), message);
        assert_eq!(error("#[poolable(on_release = a)] #[poolable(on_release = b)] struct S;"), message);
    }

    #[test]
    fn attribute_needs_parentheses() {
        for attribute in ["#[poolable]", "#[poolable = reset]"] {
            let message = error(&format!("{attribute} struct S;"));
            assert!(message.contains("parentheses: #[poolable(...)]"), "{message}");
        }
    }

    #[test]
    fn key_needs_a_function() {
        assert_eq!(error("#[poolable(on_acquire)] struct S;"), "expected `on_acquire = path::of::a_function`");
        assert_eq!(error("#[poolable(on_acquire(f))] struct S;"), "expected `on_acquire = path::of::a_function`");
        let message = "expected the path of a function, such as `Self::reset`, and nothing else";
        for value in ["", "\"reset\"", "reset()", "|this| this.reset()", "reset on_release = reset"] {
            assert_eq!(error(&format!("#[poolable(on_acquire = {value})] struct S;")), message, "{value}");
        }
    }

    #[test]
    fn attribute_inside_the_type_is_rejected() {
        let message = "hooks are the type's; move this attribute in front of it";
        for item in [
            "struct S { #[poolable(on_acquire = reset)] field: u8 }",
            "struct S(u8, #[poolable] u8);",
            "enum E { #[poolable] A }",
            "enum E { A { #[poolable] field: u8 } }",
            "union U { #[poolable] field: u8 }",
        ] {
            assert_eq!(error(item), message, "{item}");
        }
    }
}
