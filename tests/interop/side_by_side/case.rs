//! One case: what is configured, what is asked, who answers, and what of the
//! answer is compared.
//!
//! In every text of a case `@name@` stands for the address of its server of
//! that name, `@folder@` for the folder with keys, certificates and other
//! files.

use super::dns::Say;
use super::names::Names;
use super::program::{Ended, Process, Program};
use super::server::Server;
use super::view::{Fields, View};

/// Everything about one comparison.
pub(crate) struct Case {
    /// `group::what_is_special`: the name of the trial and, in the common
    /// file, of its module.
    pub(crate) name: String,
    /// The module, as YAML that follows `name: `; none for cases that ask
    /// something else.
    pub(crate) module: Option<String>,
    /// Who is probed.
    pub(crate) servers: Vec<Server>,
    /// What names lead to them; if there are some, the programs have DNS servers of
    /// the suite and no others.
    pub(crate) names: Option<Names>,
    /// What is done with each of the two programs.
    pub(crate) ask: Ask,
}

/// What is done with each of the two programs.
pub(crate) enum Ask {
    /// These requests, to the processes that share the common file.
    Requests(Vec<Request>),
    /// The same, all at once.
    Together(Vec<Request>),
    /// `--config.check` of this file.
    Check(String),
    /// The same requests, to processes of their own with these flags and
    /// variables (the common file is given to them too).
    Own {
        /// Beside `--config.file` and the address.
        flags: Vec<String>,
        /// Of the environment, which has nothing about proxies otherwise.
        variables: Vec<(&'static str, &'static str)>,
        /// Asked in this order.
        requests: Vec<Request>,
    },
    /// Something with the bare program; it fails if that does not start.
    Custom(Box<Custom>),
}

/// What a custom case shows of a program; an error if that does not start.
pub(crate) type Custom = dyn Fn(&Bench<'_>) -> Result<Fields, String> + Send + Sync;

/// What a custom case works with.
pub(crate) struct Bench<'a> {
    /// The program under test.
    pub(crate) program: &'a Program,
    /// Fills in `@name@`.
    pub(crate) fill: &'a dyn Fn(&str) -> String,
    /// A folder for this program alone.
    pub(crate) folder: &'a std::path::Path,
}

impl Bench<'_> {
    /// Writes a file and starts the program with it.
    ///
    /// # Errors
    /// What it said before it ended.
    pub(crate) fn serve(&self, config: &str, flags: &[&str]) -> Result<Process, String> {
        let path = self.write("own.yml", config);
        let mut args = vec![format!("--config.file={path}")];
        args.extend(flags.iter().map(|flag| (self.fill)(flag)));
        self.program.serve(&args)
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        let args: Vec<String> = args.iter().map(|arg| (self.fill)(arg)).collect();
        self.program.run(&args)
    }

    /// Writes a file into the folder of this program; its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, (self.fill)(text)).expect("a file");
        path.to_str().expect("a path of text").to_owned()
    }
}

/// One request.
#[derive(Clone)]
pub(crate) struct Request {
    /// GET or what else.
    pub(crate) method: &'static str,
    /// Path and query. `@module@` is the module of the case.
    pub(crate) path: String,
    /// The parameter `target`, encoded by us, if there is one.
    pub(crate) target: Option<String>,
    /// Header fields.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What of the answer is compared.
    pub(crate) view: View,
}

impl Request {
    pub(crate) fn get(path: &str, view: View) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            target: None,
            headers: Vec::new(),
            view,
        }
    }

    pub(crate) fn probe(target: &str) -> Self {
        Self {
            target: Some(target.to_owned()),
            ..Self::get("/probe?module=@module@", View::Metrics)
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn query(mut self, more: &str) -> Self {
        self.path.push_str(more);
        self
    }

    pub(crate) fn view(mut self, view: View) -> Self {
        self.view = view;
        self
    }
}

impl Case {
    /// One probe of `target` with a module of its own.
    pub(crate) fn probe(name: impl Into<String>, module: impl Into<String>, target: &str) -> Self {
        Self {
            name: name.into(),
            module: Some(module.into()),
            servers: Vec::new(),
            names: None,
            ask: Ask::Requests(vec![Request::probe(target)]),
        }
    }

    /// These requests, without a module.
    pub(crate) fn requests(name: impl Into<String>, requests: Vec<Request>) -> Self {
        Self {
            name: name.into(),
            module: None,
            servers: Vec::new(),
            names: None,
            ask: Ask::Requests(requests),
        }
    }

    /// A file that is only checked.
    pub(crate) fn check(name: impl Into<String>, file: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            module: None,
            servers: Vec::new(),
            names: None,
            ask: Ask::Check(file.into()),
        }
    }

    /// Anything else.
    pub(crate) fn custom(
        name: impl Into<String>,
        run: impl Fn(&Bench<'_>) -> Result<Fields, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            module: None,
            servers: Vec::new(),
            names: None,
            ask: Ask::Custom(Box::new(run)),
        }
    }

    pub(crate) fn module(mut self, module: &str) -> Self {
        self.module = Some(module.to_owned());
        self
    }

    pub(crate) fn server(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }

    /// Is asked of programs that have DNS servers of the suite.
    pub(crate) fn named(mut self) -> Self {
        self.names.get_or_insert_default();
        self
    }

    /// A name and what the DNS server says of it.
    pub(crate) fn says(mut self, name: &'static str, say: Say) -> Self {
        let names = self.names.get_or_insert_default();
        names.zones[0].push((name, say));
        self
    }

    /// The same for the second server.
    pub(crate) fn second_says(mut self, name: &'static str, say: Say) -> Self {
        let names = self.names.get_or_insert_default();
        names.zones[1].push((name, say));
        self
    }

    /// Is asked of programs that have this `resolv.conf`.
    pub(crate) fn resolv_conf(mut self, text: &'static str) -> Self {
        self.names.get_or_insert_default().resolv_conf = Some(text);
        self
    }

    /// Changes the only request.
    pub(crate) fn request(mut self, change: impl FnOnce(Request) -> Request) -> Self {
        if let Ask::Requests(requests) = &mut self.ask {
            let request = requests.pop().expect("a request");
            requests.push(change(request));
        }
        self
    }

    /// Asks so many at once instead of one; `@n@` in a target is which.
    pub(crate) fn together(mut self, count: usize) -> Self {
        if let Ask::Requests(requests) = &self.ask {
            let request = &requests[0];
            let number = |number: usize| Request {
                target: (request.target.as_ref())
                    .map(|target| target.replace("@n@", &number.to_string())),
                ..request.clone()
            };
            self.ask = Ask::Together((0..count).map(number).collect());
        }
        self
    }

    /// Asks processes of its own, with these flags.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        if let Ask::Requests(requests) = self.ask {
            self.ask = Ask::Own {
                flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
                variables: Vec::new(),
                requests,
            };
        }
        self
    }

    /// Asks processes of its own, with these variables in their environment.
    pub(crate) fn variables(mut self, more: &[(&'static str, &'static str)]) -> Self {
        self = self.flags(&[]);
        if let Ask::Own { variables, .. } = &mut self.ask {
            variables.extend(more);
        }
        self
    }
}
