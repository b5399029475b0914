"use strict";
(() => {
  const text = document.getElementById("text"), level = document.getElementById("level"), rule = document.getElementById("rule");
  const findings = [...document.querySelectorAll(".finding")], shown = document.getElementById("shown");
  if (!text) return;
  const words = new Map(findings.map(f => [f, f.textContent.toLowerCase()]));
  const filter = () => {
    const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const f of findings) {
      const ok = (!level.value || f.dataset.level === level.value) && (!rule.value || f.dataset.rule === rule.value) &&
        wanted.every(w => words.get(f).includes(w));
      f.hidden = !ok;
      if (ok) n++;
    }
    shown.textContent = n + " of " + findings.length;
  };
  for (const e of [text, level, rule]) e.addEventListener("input", filter);
  filter();
})();
