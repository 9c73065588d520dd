"use strict";
document.querySelectorAll(".imprimer").forEach(function (bouton) {
  bouton.hidden = false;
  bouton.addEventListener("click", function () { window.print(); });
});
// A link to a folded part opens it.
function deplier() {
  const titre = document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
  const plie = titre && titre.parentElement.querySelector(":scope > details");
  if (plie) { plie.open = true; }
}
window.addEventListener("hashchange", deplier);
deplier();
