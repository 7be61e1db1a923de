//! The keys of the two roles: from their own setting, from the one for both, or from demo mode.

use jsonwebtoken::Algorithm;

use super::{DEMO_KEY, Options, Reader};
use crate::protocol::token::VerificationKey;

/// What a setting for a key holds.
#[derive(Clone)]
enum Given {
    Nothing,
    /// It is set, and wrong; that is said already, so nothing else is said of a role that would take it.
    Wrong,
    /// The name of the setting, and the key.
    Key(&'static str, String),
}

impl Given {
    fn or(self, other: &Self) -> Self {
        if matches!(self, Self::Nothing) { other.clone() } else { self }
    }
}

impl Reader<'_> {
    /// The keys of publishers and of subscribers; nothing for a key that is missing or wrong.
    pub(super) fn keys(
        &mut self,
        o: &Options,
        demo: bool,
    ) -> (Option<VerificationKey>, Option<VerificationKey>) {
        let common = self.value("JWT_ALGORITHM", &o.jwt_algorithm, algorithm).unwrap_or(Algorithm::HS256);
        let both = self.secret("JWT_KEY", &o.jwt_key, "JWT_KEY_FILE", &o.jwt_key_file);
        let publisher = self.secret(
            "PUBLISHER_JWT_KEY",
            &o.publisher_jwt_key,
            "PUBLISHER_JWT_KEY_FILE",
            &o.publisher_jwt_key_file,
        );
        let subscriber = self.secret(
            "SUBSCRIBER_JWT_KEY",
            &o.subscriber_jwt_key,
            "SUBSCRIBER_JWT_KEY_FILE",
            &o.subscriber_jwt_key_file,
        );
        let publisher_algorithm =
            self.value("PUBLISHER_JWT_ALGORITHM", &o.publisher_jwt_algorithm, algorithm).unwrap_or(common);
        let subscriber_algorithm =
            self.value("SUBSCRIBER_JWT_ALGORITHM", &o.subscriber_jwt_algorithm, algorithm).unwrap_or(common);
        let (mut publisher, mut subscriber) = (publisher.or(&both), subscriber.or(&both));
        if demo && [&publisher, &subscriber].into_iter().any(|given| matches!(given, Given::Nothing)) {
            self.warnings.push("tokens are verified with the demo key, which everybody knows".to_owned());
            let demo_key = Given::Key("JWT_KEY", DEMO_KEY.to_owned());
            (publisher, subscriber) = (publisher.or(&demo_key), subscriber.or(&demo_key));
        }
        (
            self.key("PUBLISHER_JWT_KEY", publisher, publisher_algorithm),
            self.key("SUBSCRIBER_JWT_KEY", subscriber, subscriber_algorithm),
        )
    }

    fn key(&mut self, name: &'static str, given: Given, algorithm: Algorithm) -> Option<VerificationKey> {
        let (source, text) = match given {
            Given::Key(source, text) => (source, text),
            Given::Wrong => return None,
            Given::Nothing => {
                let expected = "a key in JWT_KEY (for both roles) or here; `openssl rand -base64 48` makes one. \
                                To try the hub, start it with DEMO=1";
                self.mistake(name, None, expected.to_owned());
                return None;
            }
        };
        match VerificationKey::new(algorithm, text.as_bytes()) {
            Ok(key) => {
                let warning =
                    format!("{source} is shorter than the output of {algorithm:?}'s hash: use a longer one");
                if key.is_short() && !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
                Some(key)
            }
            Err(error) => {
                let expected = format!("a key for {algorithm:?}: {error}");
                // One key for both roles is wrong once.
                if !self.mistakes.iter().any(|mistake| mistake.name == source && mistake.expected == expected)
                {
                    self.mistake(source, None, expected);
                }
                None
            }
        }
    }

    /// A key as text, from its variable or from its file.
    fn secret(
        &mut self,
        name: &'static str,
        given: &Option<String>,
        file_name: &'static str,
        file: &Option<String>,
    ) -> Given {
        let given = given.as_deref().filter(|text| !text.is_empty());
        let file = file.as_deref().filter(|text| !text.is_empty());
        match (given, file) {
            (Some(_), Some(path)) => {
                self.mistake(file_name, Some(path.to_owned()), format!("{name} or {file_name}, not both"));
                Given::Wrong
            }
            (Some(text), None) => Given::Key(name, text.to_owned()),
            (None, Some(path)) => match (self.surroundings.read_file)(path) {
                Ok(text) => Given::Key(file_name, text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    let expected = format!("a file that can be read: {error}");
                    self.mistake(file_name, Some(path.to_owned()), expected);
                    Given::Wrong
                }
            },
            (None, None) => Given::Nothing,
        }
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let expected = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA";
    text.parse().map_err(|_| expected.to_owned())
}
