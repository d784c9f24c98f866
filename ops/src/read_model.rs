//! `read-model`: single documents, lists and differences, as they are or were.

use std::io::Write;

use factum::{At, Cursor, Generation, Tenant};
use factum_projections::{Answer, Entry, Json, JsonReadModel, Page, PageRequest, Projector};
use serde::Serialize;

use crate::args_read_model::{DiffArgs, GetArgs, ListArgs, ReadModelAction, ReadModelArgs, ReadModelOf};
use crate::command::OpsError;
use crate::find::query;
use crate::verify::tell_field;

#[derive(Serialize)]
struct GotJson<'a> {
    key: &'a str,
    #[serde(flatten)]
    answer: &'a Answer<Json>,
}

#[derive(Serialize)]
struct PageJson<'a> {
    documents: &'a [Entry<Json>],
    generation: Generation,
    checkpoint: &'a Cursor,
    events_read: usize,
    /// What `--after` takes for the next page; null after the last.
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct DiffJson<'a> {
    key: &'a str,
    from: String,
    to: String,
    events_read: usize,
    fields: Vec<ChangeJson>,
}

#[derive(Serialize)]
struct ChangeJson {
    path: String,
    from: Option<Json>,
    to: Option<Json>,
}

/// How many fields a difference names.
const FIELDS: usize = 10_000;

pub(crate) async fn read_model(
    args: &ReadModelArgs,
    projector: &Projector,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    match &args.action {
        ReadModelAction::Get(args) => get(args, projector, out).await?,
        ReadModelAction::List(args) => list(args, projector, out).await?,
        ReadModelAction::Diff(args) => diff(args, projector, out).await?,
    }
    Ok(out.flush()?)
}

fn find(of: &ReadModelOf, projector: &Projector) -> Result<JsonReadModel, OpsError> {
    let model = projector.read_model_json(&of.name)?;
    Ok(match &of.tenant {
        Some(tenant) => model.in_tenant(Tenant::new(tenant.as_str())?),
        None => model,
    })
}

fn of_generation(model: JsonReadModel, generation: Option<u64>) -> JsonReadModel {
    match generation {
        Some(generation) => model.of_generation(Generation(generation)),
        None => model,
    }
}

async fn at(model: &JsonReadModel, key: &str, at: Option<&At>) -> Result<Answer<Json>, OpsError> {
    Ok(match at {
        Some(at) => model.get_at(key, at.clone()).await?,
        None => model.get(key).await?,
    })
}

async fn get(args: &GetArgs, projector: &Projector, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let model = of_generation(find(&args.of, projector)?, args.generation);
    let answer = at(&model, &args.key, args.at.as_ref()).await?;
    let Some(document) = &answer.document else {
        let when = args.at.as_ref().map_or_else(|| format!("at {}", answer.checkpoint), |at| format!("at {at}"));
        return Err(OpsError::NoDocument { projection: args.of.name.clone(), key: args.key.clone(), when });
    };
    if args.of.json {
        writeln!(out, "{}", serde_json::to_string(&GotJson { key: &args.key, answer: &answer })?)?;
        return Ok(());
    }
    writeln!(out, "{}", serde_json::to_string_pretty(document)?)?;
    let Answer { generation, checkpoint, events_read, .. } = &answer;
    writeln!(out, "generation {generation} at {checkpoint}{}", show_read(args.at.as_ref(), *events_read))?;
    Ok(())
}

/// How much was read for how something was.
fn show_read(at: Option<&At>, events_read: usize) -> String {
    at.map_or_else(String::new, |_| format!(", {events_read} events read"))
}

async fn list(args: &ListArgs, projector: &Projector, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let model = of_generation(find(&args.of, projector)?, args.generation);
    let query = query(args, model.fields())?;
    let page = match &query {
        Some(query) => {
            let token = args.after.as_ref().map(|token| token.parse()).transpose()?;
            model.find(query, token, args.limit).await?
        }
        None => by_key(args, &model).await?,
    };
    let next = page.next.as_ref().map(|token| match query {
        Some(_) => token.to_string(),
        None => token.key().to_owned(),
    });
    let next = next.as_deref();
    let (generation, checkpoint, events_read) = (page.generation, &page.checkpoint, page.events_read);
    if args.of.json {
        let page = PageJson { documents: &page.documents, generation, checkpoint, events_read, next };
        writeln!(out, "{}", serde_json::to_string(&page)?)?;
        return Ok(());
    }
    for Entry { key, document } in &page.documents {
        writeln!(out, "{key}  {document}")?;
    }
    let more = next.map_or_else(String::new, |next| match next.starts_with('{') && query.is_some() {
        true => format!("; more with --after '{}'", next.replace('\'', r"'\''")),
        false => format!("; more with --after {next:?}"),
    });
    let (count, read) = (page.documents.len(), show_read(args.at.as_ref(), events_read));
    writeln!(out, "{count} documents, generation {generation} at {checkpoint}{read}{more}")?;
    Ok(())
}

async fn by_key(args: &ListArgs, model: &JsonReadModel) -> Result<Page<Json>, OpsError> {
    let request = PageRequest::first(args.limit);
    let request = match &args.after {
        Some(key) => request.after_key(key.as_str()),
        None => request,
    };
    Ok(match &args.at {
        Some(at) => model.list_at(request, at.clone()).await?,
        None => model.list(request).await?,
    })
}

async fn diff(args: &DiffArgs, projector: &Projector, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let model = find(&args.of, projector)?;
    let from = at(&model, &args.key, Some(&args.from)).await?;
    let to = at(&model, &args.key, Some(&args.to)).await?;
    let (events_read, from, to) = (from.events_read + to.events_read, from.document, to.document);
    let (when_from, when_to) = (args.from.to_string(), args.to.to_string());
    if from.is_none() && to.is_none() {
        let when = format!("at {when_from} and at {when_to}");
        return Err(OpsError::NoDocument { projection: args.of.name.clone(), key: args.key.clone(), when });
    }
    let fields = Json::diff(from.as_ref(), to.as_ref(), FIELDS);
    if args.of.json {
        let change = |field: factum_projections::FieldDifference| ChangeJson {
            path: field.path,
            from: field.expected,
            to: field.found,
        };
        let fields = fields.into_iter().map(change).collect();
        let json = DiffJson { key: &args.key, from: when_from, to: when_to, events_read, fields };
        writeln!(out, "{}", serde_json::to_string(&json)?)?;
        return Ok(());
    }
    let count = match fields.len() {
        0 => "no field differs".to_owned(),
        1 => "1 field differs".to_owned(),
        several => format!("{several} fields differ"),
    };
    writeln!(out, "{:?} from {when_from} to {when_to}: {count}, {events_read} events read", args.key)?;
    fields.iter().try_for_each(|field| tell_field(field, "from", "to", out))
}
