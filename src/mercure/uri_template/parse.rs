//! The grammar of RFC 6570 section 2: text in, parts out. A text that does not parse is an error
//! here, and a plain string to [`Selector`](crate::mercure::selector::Selector).

use super::charset;
use super::compile::{Expression, Modifier, Operator, Variable};
use super::part::{TemplateError, TemplatePart};

pub(super) fn parts(text: &str) -> Result<Vec<TemplatePart>, TemplateError> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let open = text[at..].find('{').map_or(text.len(), |offset| at + offset);
        if open > at {
            literal(text, at, open)?;
            parts.push(TemplatePart::Literal { start: at as u16, end: open as u16 });
        }
        if open == text.len() {
            break;
        }
        let Some(length) = text[open + 1..].find('}') else {
            return Err(TemplateError::Syntax { at: text.len() });
        };
        let close = open + 1 + length;
        let compiled = expression(text, open + 1, close)?;
        push_expression(&mut parts, compiled);
        at = close + 1;
    }
    Ok(parts)
}

/// If one of two neighbours produces everything that both produce, it replaces both: `{a}{b}`
/// matches the same topics as `{a}`.
fn push_expression(parts: &mut Vec<TemplatePart>, new: Expression) {
    if let Some(TemplatePart::Expression(last)) = parts.last_mut()
        && let Some(merged) = last.merged_with(&new)
    {
        *last = merged;
        return;
    }
    parts.push(TemplatePart::Expression(new));
}

fn literal(text: &str, start: usize, end: usize) -> Result<(), TemplateError> {
    for (offset, c) in text[start..end].char_indices() {
        let at = start + offset;
        let valid =
            if c == '%' { charset::is_triplet(&text.as_bytes()[..end], at) } else { charset::is_literal(c) };
        if !valid {
            return Err(TemplateError::Syntax { at });
        }
    }
    Ok(())
}

/// `start..end` is the text between the braces.
fn expression(text: &str, start: usize, end: usize) -> Result<Expression, TemplateError> {
    let operator = Operator::read(text.as_bytes()[start]);
    let mut at = start + usize::from(operator != Operator::Simple);
    let mut variables = Vec::new();
    for spec in text[at..end].split(',') {
        variables.push(variable(spec).ok_or(TemplateError::Syntax { at })?);
        at += spec.len() + 1;
    }
    Ok(Expression::compile(operator, &variables))
}

/// `varspec` of sections 2.3 and 2.4.
fn variable(spec: &str) -> Option<Variable<'_>> {
    let (name, modifier) = if let Some(name) = spec.strip_suffix('*') {
        (name, Modifier::Explode)
    } else if let Some((name, length)) = spec.split_once(':') {
        (name, Modifier::Prefix(prefix_length(length)?))
    } else {
        (spec, Modifier::None)
    };
    is_name(name.as_bytes()).then_some(Variable { name, modifier })
}

/// `max-length`: 1 to 9999 without leading zeros.
fn prefix_length(digits: &str) -> Option<u16> {
    let valid = (1..=4).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0');
    if valid { digits.parse().ok() } else { None }
}

/// `varname`: runs of `varchar` with single dots between them.
fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    let mut after_char = false;
    while at < name.len() {
        match name[at] {
            b'.' if after_char => {
                after_char = false;
                at += 1;
            }
            b'%' if charset::is_triplet(name, at) => {
                after_char = true;
                at += 3;
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                after_char = true;
                at += 1;
            }
            _ => return false,
        }
    }
    after_char
}
