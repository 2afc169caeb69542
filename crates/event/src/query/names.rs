//! The names that a query has of values of event data.

use super::ast::{Argument, Expr, NodeTest, Op, Operand, Path};
use super::{Body, Query};

impl Query {
    /// The names with which `Data` is chosen: `X` in `Data[@Name='X']`, each as often as it is there.
    pub fn data_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        match &self.body {
            Body::XPath(expr) => of_expr(expr, false, &mut names),
            Body::List(queries) => queries
                .iter()
                .flat_map(|query| &query.clauses)
                .for_each(|clause| of_expr(&clause.expr, false, &mut names)),
        }
        names
    }
}

/// Those in a condition, on an element `Data` or on another node.
fn of_expr(expr: &Expr, is_on_data: bool, names: &mut Vec<String>) {
    match expr {
        Expr::Or(terms) | Expr::And(terms) => {
            terms.iter().for_each(|term| of_expr(term, is_on_data, names));
        }
        Expr::Not(inner) => of_expr(inner, is_on_data, names),
        Expr::Compare(Operand::Path(path), Op::Eq, name) if is_on_data && is_name(path) => {
            names.push(name.text.clone());
        }
        Expr::Path(path) | Expr::Search(_, path, _) | Expr::Compare(Operand::Path(path), ..) => {
            of_path(path, names)
        }
        Expr::Band(a, b) => {
            for argument in [a, b] {
                if let Argument::Path(path) = argument {
                    of_path(path, names);
                }
            }
        }
        Expr::Compare(Operand::Position | Operand::TimeDiff(..), ..) => {}
    }
}

fn of_path(path: &Path, names: &mut Vec<String>) {
    for step in &path.steps {
        let is_data = matches!(&step.test, NodeTest::Element(Some(name)) if name == "Data");
        step.predicates.iter().for_each(|predicate| of_expr(predicate, is_data, names));
    }
}

/// Whether a path is `@Name`.
fn is_name(path: &Path) -> bool {
    let [step] = &*path.steps else { return false };
    matches!(&step.test, NodeTest::Attribute(Some(name)) if name == "Name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_data_are_found_wherever_they_are_compared_with() {
        let names = |text: &str| Query::parse(text).unwrap().data_names();
        assert_eq!(
            names("*[EventData[Data[@Name='A']='x' and Data[@Name='B' or @Name='C']]]"),
            ["A", "B", "C"]
        );
        assert_eq!(names("*[System[Provider[@Name='P']] and EventData/Data[@Name!='A']]"), [""; 0]);
        assert_eq!(names("*[not(EventData[contains(Data[@Name='A'],'x')])]"), ["A"]);
        let list = "<QueryList><Query><Select Path='S'>*[EventData[Data[@Name='A']=1]]</Select>\
            <Suppress Path='S'>*[EventData[Data[@Name='B']=1]]</Suppress></Query></QueryList>";
        assert_eq!(names(list), ["A", "B"]);
    }
}
