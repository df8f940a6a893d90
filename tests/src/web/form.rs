//! Forms of a page as a browser would send them: what their fields say, with the hidden ones.

/// A form: where it goes, and its fields in their order.
pub(super) type Form = (String, Vec<(String, String)>);

/// All of a page.
pub(super) fn all(page: &str) -> Vec<Form> {
    let forms = page.split("<form").skip(1).filter_map(|form| form.split("</form>").next());
    forms
        .map(|form| {
            (
                attribute(form.split('>').next().unwrap_or_default(), "action").unwrap_or_default(),
                fields(form),
            )
        })
        .collect()
}

fn fields(form: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut select = None;
    for piece in form.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        let word = tag.split(' ').next().unwrap_or_default();
        let value = || attribute(tag, "value").unwrap_or_default();
        match (word, attribute(tag, "name")) {
            ("input", Some(name)) => {
                let kind = attribute(tag, "type").unwrap_or_default();
                if !matches!(kind.as_str(), "checkbox" | "radio") || flag(tag, "checked") {
                    fields.push((name, value()));
                }
            }
            ("textarea", Some(name)) => {
                fields.push((name, plain(text.strip_prefix('\n').unwrap_or(text))));
            }
            ("select", name) => select = name,
            ("option", _) if flag(tag, "selected") => {
                fields.extend(select.clone().map(|name| (name, value())));
            }
            _ => {}
        }
    }
    fields
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next().map(plain)
}

/// Whether a tag has an attribute without a value.
fn flag(tag: &str, name: &str) -> bool {
    format!("{tag} ").contains(&format!(" {name} "))
}

fn plain(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_a_browser_would_send_it() {
        let page = "<form action=\"/other\"><input name=\"no\" value=\"\"></form>\
            <form method=\"post\" action=\"/it\"><input type=\"hidden\" name=\"etag\" value=\"&quot;1&quot;\">\
            <input type=\"checkbox\" name=\"off\" value=\"yes\"><input type=\"radio\" name=\"r\" value=\"a\">\
            <input type=\"radio\" name=\"r\" value=\"b\" checked aria-describedby=\"x\"><textarea id=\"t\" name=\"t\">\na &lt;b\nc</textarea>\
            <select name=\"s\"><option value=\"1\">x</option><option value=\"2\" selected>y</option></select></form>";
        let expected = [("etag", "\"1\""), ("r", "b"), ("t", "a <b\nc"), ("s", "2")];
        let forms = all(page);
        assert_eq!((forms.len(), forms[1].0.as_str()), (2, "/it"));
        assert_eq!(forms[1].1, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
