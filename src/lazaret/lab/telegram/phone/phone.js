"use strict";
const chat = document.getElementById("chat");
const people = document.getElementById("person");
const toast = document.getElementById("toast");
const asked = new URLSearchParams(location.search).get("person");
let shown = "";

const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body) }).then((answer) => answer.json());
const make = (name, text) => { const node = document.createElement(name); if (text) node.textContent = text; return node; };

// A message is only ever text: entities become elements, nothing of it is read as HTML.
function written(message) {
  const node = make("div"); node.className = "bubble";
  const look = { bold: "strong", italic: "em", underline: "u", strikethrough: "s", code: "code", pre: "code", text_link: "u" };
  let at = 0;
  for (const entity of message.entities.filter((one) => look[one.type])) {
    if (entity.offset < at) continue;
    node.append(message.text.slice(at, entity.offset));
    node.append(make(look[entity.type], message.text.slice(entity.offset, entity.offset + entity.length)));
    at = entity.offset + entity.length;
  }
  node.append(message.text.slice(at));
  return node;
}

function keys(message) {
  const grid = make("div"); grid.className = "keys";
  for (const row of message.keyboard) {
    const line = make("div");
    for (const button of row) {
      if (button.url) {
        const open = make("a", button.text); open.href = button.url; open.rel = "noreferrer"; line.append(open);
      } else {
        const press = make("button", button.text); press.type = "button";
        press.addEventListener("click", () => pressed(message.id, button.callback_data));
        line.append(press);
      }
    }
    grid.append(line);
  }
  return grid;
}

async function pressed(message_id, data) {
  const { query_id } = await post(`/lab/people/${people.value}/press`, { message_id, data });
  for (let i = 0; i < 40; i += 1) {
    const answer = await (await fetch(`/lab/toasts/${query_id}`)).json();
    if (answer.is_answered) return say(answer.text);
    await new Promise((done) => setTimeout(done, 150));
  }
}

function say(text) {
  toast.textContent = text; toast.hidden = !text;
  clearTimeout(say.timer); say.timer = setTimeout(() => { toast.hidden = true; }, 6000);
}

async function refresh() {
  const everybody = await (await fetch("/lab/people")).json();
  for (const one of everybody) {
    if (people.querySelector(`option[value="${one.id}"]`)) continue;
    const option = make("option", one.first_name); option.value = one.id; people.append(option);
    if (String(one.id) === asked) people.value = asked;
  }
  if (!people.value) return;
  const body = await (await fetch(`/lab/people/${people.value}`)).json();
  const now = JSON.stringify(body.messages);
  if (now === shown) return;
  const atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 60;
  shown = now;
  chat.replaceChildren(...body.messages.filter((one) => !one.is_deleted).map((message) => {
    const item = make("li"); if (!message.from_bot) item.className = "mine";
    const edited = message.edits ? "edited " : "";
    const when = make("div", edited + new Date(message.date * 1000).toTimeString().slice(0, 5)); when.className = "when";
    item.append(written(message), keys(message), when);
    return item;
  }));
  if (atEnd) chat.scrollTop = chat.scrollHeight;
}

document.getElementById("writing").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = document.getElementById("text");
  if (field.value && people.value) post(`/lab/people/${people.value}/write`, { text: field.value }).then(refresh);
  field.value = "";
});
people.addEventListener("change", () => { shown = ""; refresh(); });
setInterval(() => refresh().catch(() => {}), 500);
refresh();
