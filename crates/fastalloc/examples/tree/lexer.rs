//! From text to tokens: as much of Rust's lexical structure as it takes to see which brackets are code.

/// A leaf of the tree, or a bracket.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub(crate) part: Part,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

#[derive(Clone, Copy)]
pub(crate) enum Part {
    Leaf(Leaf),
    Open(Bracket),
    Close(Bracket),
}

#[derive(Clone, Copy)]
pub(crate) enum Leaf {
    /// An identifier, a keyword or a number.
    Word,
    Lifetime,
    /// A string or a character.
    Literal,
    /// One character of an operator or a separator.
    Punctuation,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Bracket {
    Round,
    Square,
    Curly,
}

impl Bracket {
    pub(crate) fn opening(self) -> char {
        match self {
            Self::Round => '(',
            Self::Square => '[',
            Self::Curly => '{',
        }
    }

    pub(crate) fn closing(self) -> char {
        match self {
            Self::Round => ')',
            Self::Square => ']',
            Self::Curly => '}',
        }
    }
}

/// What is wrong with the text, and at which byte.
pub(crate) struct SyntaxError {
    pub(crate) offset: u32,
    pub(crate) message: String,
}

impl SyntaxError {
    pub(crate) fn new(offset: u32, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

pub(crate) fn lex(text: &str) -> Result<Vec<Token>, SyntaxError> {
    if u32::try_from(text.len()).is_err() {
        return Err(SyntaxError::new(0, "a file of 4 GiB or more cannot be read"));
    }
    let mut lexer = Lexer { text, offset: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space_and_comments()?;
        let start = lexer.offset();
        let Some(part) = lexer.part()? else { return Ok(tokens) };
        tokens.push(Token { part, start, end: lexer.offset() });
    }
}

struct Lexer<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Lexer<'a> {
    fn part(&mut self) -> Result<Option<Part>, SyntaxError> {
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let part = match first {
            '(' => Part::Open(Bracket::Round),
            '[' => Part::Open(Bracket::Square),
            '{' => Part::Open(Bracket::Curly),
            ')' => Part::Close(Bracket::Round),
            ']' => Part::Close(Bracket::Square),
            '}' => Part::Close(Bracket::Curly),
            _ => return self.leaf(first).map(|leaf| Some(Part::Leaf(leaf))),
        };
        self.offset += 1;
        Ok(Some(part))
    }

    fn leaf(&mut self, first: char) -> Result<Leaf, SyntaxError> {
        if let Some(string) = StringStart::of(self.rest()) {
            return self.string(string);
        }
        match first {
            '\'' => self.lifetime_or_character(),
            'b' if self.rest().starts_with("b'") => {
                self.offset += 1;
                self.quoted('\'')
            }
            '0'..='9' => {
                self.number();
                Ok(Leaf::Word)
            }
            _ if is_word(first) => {
                // `r#type` is an identifier too.
                self.offset += if self.rest().starts_with("r#") { 2 } else { 0 };
                self.skip_while(is_word);
                Ok(Leaf::Word)
            }
            _ => {
                self.offset += first.len_utf8();
                Ok(Leaf::Punctuation)
            }
        }
    }

    /// `1_000`, `0xff`, `2.5`; the sign of an exponent is left over, as punctuation.
    fn number(&mut self) {
        self.skip_while(is_word);
        let fraction = self.rest().strip_prefix('.').filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()));
        if fraction.is_some() {
            self.offset += 1;
            self.skip_while(is_word);
        }
    }

    fn string(&mut self, StringStart { prefix, hashes }: StringStart) -> Result<Leaf, SyntaxError> {
        let start = self.offset();
        self.offset += prefix;
        let Some(hashes) = hashes else { return self.quoted('"') };
        self.offset += hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        let Some(length) = self.rest().find(&end) else {
            return Err(SyntaxError::new(start, format!("the string that starts here has no end, which is `{end}`")));
        };
        self.offset += length + end.len();
        Ok(Leaf::Literal)
    }

    /// What starts with a quote is a character if it is escaped or if another quote comes right after it.
    fn lifetime_or_character(&mut self) -> Result<Leaf, SyntaxError> {
        let mut following = self.rest().chars().skip(1);
        if following.next() == Some('\\') || following.next() == Some('\'') {
            return self.quoted('\'');
        }
        self.offset += 1;
        self.skip_while(is_word);
        Ok(Leaf::Lifetime)
    }

    fn quoted(&mut self, quote: char) -> Result<Leaf, SyntaxError> {
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((length, character)) = characters.next() {
            if character == quote {
                self.offset += length + 1;
                return Ok(Leaf::Literal);
            }
            if character == '\\' {
                characters.next();
            }
        }
        Err(SyntaxError::new(self.offset(), format!("`{quote}` is never closed")))
    }

    fn skip_space_and_comments(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.skip_while(char::is_whitespace);
            if self.rest().starts_with("//") {
                self.skip_while(|character| character != '\n');
            } else if self.rest().starts_with("/*") {
                self.skip_block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Such comments nest.
    fn skip_block_comment(&mut self) -> Result<(), SyntaxError> {
        let start = self.offset();
        let mut open = 0_usize;
        loop {
            if self.rest().starts_with("/*") {
                open += 1;
                self.offset += 2;
            } else if self.rest().starts_with("*/") {
                open -= 1;
                self.offset += 2;
            } else if let Some(character) = self.rest().chars().next() {
                self.offset += character.len_utf8();
            } else {
                return Err(SyntaxError::new(start, "`/*` is never closed"));
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn skip_while(&mut self, condition: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.offset += rest.find(|character| !condition(character)).unwrap_or(rest.len());
    }

    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    /// `lex` has checked that it fits.
    fn offset(&self) -> u32 {
        self.offset as u32
    }
}

struct StringStart {
    /// Length of `b`, `c`, `r`, `br` or `cr`.
    prefix: usize,
    /// Of a raw string.
    hashes: Option<usize>,
}

impl StringStart {
    fn of(text: &str) -> Option<Self> {
        let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| text.starts_with(prefix))?;
        let (rest, is_raw) = (&text[prefix.len()..], prefix.ends_with('r'));
        let hashes = if is_raw { rest.bytes().take_while(|&byte| byte == b'#').count() } else { 0 };
        rest[hashes..].starts_with('"').then_some(Self { prefix: prefix.len(), hashes: is_raw.then_some(hashes) })
    }
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}
