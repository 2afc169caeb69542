//! Who visits a page over TLS: Python's client, which shares no code with the page.

use std::process::Command;

use serde_json::Value;

use crate::accounts::PASSWORD;

/// Asks once, and prints what came as JSON.
const CLIENT: &str = r#"
import hashlib, http.client, json, ssl, sys
port, method, path, cookie, body = sys.argv[1:]
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=60)
connection.connect()
shown = hashlib.sha256(connection.sock.getpeercert(binary_form=True)).hexdigest().upper()
headers = {"Cookie": cookie} if cookie else {}
if method == "POST":
    headers["Origin"] = f"https://127.0.0.1:{port}"
    headers["Content-Type"] = "application/x-www-form-urlencoded"
connection.request(method, path, body or None, headers)
answer = connection.getresponse()
print(json.dumps({
    "status": answer.status,
    "cookies": [value.split(";")[0] for value in answer.headers.get_all("Set-Cookie", [])],
    "hsts": answer.headers.get("Strict-Transport-Security"),
    "fingerprint": ":".join(shown[n:n + 2] for n in range(0, 64, 2)),
    "body": answer.read().decode(),
}))
"#;

/// Visits the page of a port on this machine.
#[derive(Clone, Debug)]
pub struct Visitor {
    port: String,
}

impl Visitor {
    /// Who visits the page whose address a program has told.
    ///
    /// # Panics
    /// If that is no `https://127.0.0.1:PORT/`.
    pub fn of(address: &str) -> Self {
        let port = address.trim().strip_prefix("https://127.0.0.1:");
        let port = port.map(|rest| rest.trim_end_matches('/').to_owned());
        let port = port.filter(|port| port.parse::<u16>().is_ok());
        Visitor { port: port.unwrap_or_else(|| panic!("no address: {address:?}")) }
    }

    /// Asks once: `status`, `cookies`, `hsts`, the certificate's `fingerprint`, and `body`.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn ask(&self, method: &str, path: &str, cookie: &str, body: &str) -> Value {
        let output = Command::new("python3")
            .args(["-c", CLIENT, &self.port, method, path, cookie, body])
            .output()
            .expect("Python runs");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The same of a page.
    ///
    /// # Panics
    /// As [`ask`](Self::ask).
    pub fn get(&self, path: &str, cookie: &str) -> Value {
        self.ask("GET", path, cookie, "")
    }

    /// Signs in.
    ///
    /// # Panics
    /// As [`ask`](Self::ask).
    pub fn sign_in(&self, user: &str, password: &str) -> Value {
        let body = format!("user={user}&password={}", password.replace(' ', "+"));
        self.ask("POST", "/sign-in", "", &body)
    }

    /// The session's cookie of one of the test's accounts, who signs in.
    ///
    /// # Panics
    /// If they can't.
    pub fn cookie_of(&self, user: &str) -> String {
        let answer = self.sign_in(user, PASSWORD);
        assert_eq!(answer["status"], 303, "{user}: {answer}");
        let cookies = answer["cookies"].as_array().expect("cookies");
        let mut session = cookies.iter().filter_map(Value::as_str);
        session.find(|cookie| cookie.starts_with("__Host-quarry=")).expect("a session").to_owned()
    }
}
