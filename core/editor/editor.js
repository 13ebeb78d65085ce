// The JSON editor of the admin's forms: it takes the place of a textarea that has `data-json-editor`, and keeps its
// value, so that the form is sent as without scripts. README.md beside it says how core/static/maim/json-editor.js is
// made of this file.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, syntaxHighlighting, syntaxTree } from "@codemirror/language";
import { linter, lintGutter } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

const CHINESE = {
  "Control character": "控制字符",
  "Diagnostics": "问题",
  "Find": "查找",
  "Fold line": "折叠",
  "Folded lines": "已折叠的行",
  "No diagnostics": "没有问题",
  "Not JSON from here on": "从这里起不是 JSON",
  "Replace": "替换",
  "Selection deleted": "已删除所选内容",
  "Unfold line": "展开",
  "Unfolded lines": "已展开的行",
  "all": "全部",
  "by word": "整词",
  "close": "关闭",
  "current match": "当前匹配",
  "folded code": "已折叠的内容",
  "match case": "区分大小写",
  "next": "下一个",
  "on line": "位于行",
  "previous": "上一个",
  "regexp": "正则表达式",
  "replace": "替换",
  "replace all": "全部替换",
  "replaced $ matches": "已替换 $ 处",
  "replaced match on line $": "已替换第 $ 行的匹配",
  "unfold": "展开",
};

// Where the text stops being JSON. The server says what else is wrong, with the path.
function syntaxError(view) {
  if (!view.state.doc.length) return [];
  let found = null;
  syntaxTree(view.state).iterate({
    enter: (node) => {
      if (!found && node.type.isError) found = node.from;
      return !found;
    },
  });
  if (found === null) return [];
  const message = view.state.phrase("Not JSON from here on");
  return [{ from: found, to: Math.min(found + 1, view.state.doc.length), severity: "error", message }];
}

function edit(textarea) {
  const label = document.querySelector(`label[for="${textarea.id}"]`);
  const attributes = { "aria-label": label ? label.textContent.trim().replace(/\*$/, "") : textarea.name };
  const help = document.getElementById(`${textarea.id}_editor_help`);
  if (help) {
    help.hidden = false;
    attributes["aria-describedby"] = help.id;
  }
  const view = new EditorView({
    parent: textarea.parentElement,
    state: EditorState.create({
      doc: textarea.value,
      extensions: [
        document.documentElement.lang.startsWith("zh") ? EditorState.phrases.of(CHINESE) : [],
        lineNumbers(),
        foldGutter(),
        lintGutter(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        json(),
        linter(syntaxError),
        syntaxHighlighting(classHighlighter),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of(attributes),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) textarea.value = update.state.doc.toString();
        }),
        // Tab indents; Esc and then Tab leaves the editor.
        keymap.of([...defaultKeymap, ...historyKeymap, ...foldKeymap, ...searchKeymap, indentWithTab]),
      ],
    }),
  });
  textarea.hidden = true;
  textarea.before(view.dom);
  if (label) label.addEventListener("click", () => view.focus());
}

// The searchable list of the fields that a document may have, which is asked for when it is opened.
async function listFields(details) {
  const [search, list] = [details.querySelector("input"), details.querySelector("dl")];
  const response = await fetch(details.dataset.fields, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${response.status} of ${details.dataset.fields}`);
  const { fields } = await response.json();
  for (const { path, type, title, description } of fields) {
    const name = document.createElement("dt");
    const code = document.createElement("code");
    code.textContent = path;
    name.append(code, ` ${type}`);
    const text = document.createElement("dd");
    text.textContent = [title, description].filter(Boolean).join(": ");
    const entry = document.createElement("div");
    entry.append(name, text);
    list.append(entry);
  }
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const entry of list.children) {
      const text = entry.textContent.toLowerCase();
      entry.hidden = !words.every((word) => text.includes(word));
    }
  };
  search.addEventListener("input", show);
  // Enter would send the form.
  search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  show();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("textarea[data-json-editor]").forEach(edit);
  for (const details of document.querySelectorAll("details[data-fields]")) {
    details.hidden = false;
    details.addEventListener("toggle", () => listFields(details), { once: true });
  }
});
