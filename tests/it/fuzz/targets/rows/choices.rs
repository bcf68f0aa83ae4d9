//! An input as choices: expressions over an event, which may fail.

/// Takes one choice after the other off an input.
pub struct Choices<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Choices<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    pub fn byte(&mut self) -> u8 {
        self.at += 1;
        self.input.get(self.at - 1).copied().unwrap_or(0)
    }

    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::from(self.byte()) % values.len()]
    }

    /// An integer of an event, which may fail. It is nowhere compared with a constant: DataFusion (55.2.0) takes casts off what
    /// is, over several passes, and then they don't fail.
    pub fn integer(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.of(&["a", "b", "user_id", "2", "length(t)"]).to_owned();
        }
        let (one, other) = (self.integer(depth - 1), self.integer(depth - 1));
        match self.byte() % 8 {
            0 => format!("({one} / {other})"),
            1 => format!("({one} % {other})"),
            2 => "CAST(t AS BIGINT)".to_owned(),
            3 => format!("CAST(CAST({one} AS INT) AS BIGINT)"),
            4 => "CAST(x AS BIGINT)".to_owned(),
            5 => format!("CASE WHEN {other} > user_id THEN {one} ELSE 1 END"),
            6 => format!("coalesce(nullif({one}, {other}), 3)"),
            _ => format!("abs({one})"),
        }
    }

    /// A number with a fraction of an event, which may fail or be none.
    pub fn float(&mut self, depth: usize) -> String {
        match self.byte() % 4 {
            0 => "x".to_owned(),
            1 => "sqrt(x)".to_owned(),
            2 => format!("(x / CAST({} AS DOUBLE))", self.integer(depth)),
            _ => format!("CAST({} AS DOUBLE)", self.integer(depth)),
        }
    }
}
