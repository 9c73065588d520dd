"use strict";
(function () {
  const donnees = JSON.parse(document.getElementById("donnees").textContent);
  const carte = L.map("carte-territoire", {
    crs: L.CRS.Simple,
    attributionControl: false,
    zoomControl: false,
    zoomSnap: 0.25,
    zoomDelta: 0.5,
    minZoom: -8,
    maxZoom: 0,
    wheelPxPerZoomLevel: 100,
  });
  L.control.zoom({ zoomInTitle: "Zoom avant", zoomOutTitle: "Zoom arrière" }).addTo(carte);
  L.control.scale({ imperial: false }).addTo(carte);

  const communes = L.featureGroup(
    donnees.communes.map(function (commune) {
      return L.polygon(commune.anneaux, { className: "commune" }).bindTooltip(texte(commune.nom), { sticky: true });
    })
  );
  carte.fitBounds(communes.getBounds());
  communes.addTo(carte);
  // Leaflet lets the keyboard stop at whatever has a tooltip; only QPV lead somewhere.
  communes.eachLayer(function (commune) { commune.getElement().setAttribute("tabindex", "-1"); });
  L.polygon(donnees.territoire, { className: "territoire", interactive: false }).addTo(carte);

  const quartiers = {};
  const groupe = L.featureGroup();
  donnees.qpv.forEach(function (qpv) {
    const forme = L.polygon(qpv.anneaux, { className: "qpv" });
    const cercle = L.circleMarker(qpv.centre, { className: "cercle", radius: 1, interactive: false });
    const point = L.circleMarker(qpv.centre, { className: "point", radius: 7 });
    [forme, point].forEach(function (couche) {
      couche.on("click", function () { window.location.href = encodeURIComponent(qpv.code) + ".html"; });
      couche.bindTooltip("", { sticky: true, className: "bulle" });
    });
    groupe.addLayer(forme);
    quartiers[qpv.code] = { qpv: qpv, forme: forme, cercle: cercle, point: point };
  });
  groupe.addTo(carte);

  // Pixels that something takes across at this scale.
  function largeur(cadre) {
    return carte.latLngToContainerPoint(cadre.getSouthEast()).x - carte.latLngToContainerPoint(cadre.getSouthWest()).x;
  }

  // Where a QPV is too small to show its colour, a point shows it.
  const VISIBLE = 14;
  function pointer() {
    Object.keys(quartiers).forEach(function (code) {
      const quartier = quartiers[code];
      const petit = largeur(quartier.forme.getBounds()) < VISIBLE && !carte.hasLayer(quartier.cercle);
      if (petit && !carte.hasLayer(quartier.point)) {
        quartier.point.addTo(carte).getElement().setAttribute("tabindex", "-1");
      } else if (!petit) {
        quartier.point.remove();
      }
    });
  }

  // Names of QPV, then of communes: each where it covers neither a QPV nor another name, else nowhere.
  function nommer(nom, places, classe) {
    const etiquette = L.tooltip({ permanent: true, className: classe, interactive: false, offset: [0, 0], opacity: 1 });
    etiquette.places = places;
    etiquette.options.direction = places[0].cote;
    return etiquette.setLatLng(places[0].point).setContent(texte(nom)).addTo(carte);
  }
  const noms = donnees.qpv.map(function (qpv) {
    const cadre = quartiers[qpv.code].forme.getBounds();
    const milieu = cadre.getCenter();
    return nommer(qpv.nom, [
      { cote: "top", point: [cadre.getNorth(), milieu.lng] },
      { cote: "bottom", point: [cadre.getSouth(), milieu.lng] },
      { cote: "right", point: [milieu.lat, cadre.getEast()] },
      { cote: "left", point: [milieu.lat, cadre.getWest()] },
    ], "nom-qpv");
  }).concat(donnees.communes.map(function (commune) {
    const etiquette = nommer(commune.nom, [{ cote: "center", point: commune.centre }], "nom-commune");
    etiquette.dans = L.polygon(commune.anneaux).getBounds();
    return etiquette;
  }));
  function degager() {
    const pris = Object.keys(quartiers).map(function (code) {
      return quartiers[code].forme.getElement().getBoundingClientRect();
    });
    noms.forEach(function (nom) {
      const element = nom.getElement();
      // The name of a commune that it does not fit into says nothing of where it is.
      const tient = !nom.dans || element.offsetWidth <= largeur(nom.dans);
      const libre = tient && nom.places.some(function (place) {
        nom.options.direction = place.cote;
        nom.setLatLng(place.point);
        const cadre = element.getBoundingClientRect();
        const gene = pris.some(function (autre) {
          return cadre.left < autre.right && autre.left < cadre.right && cadre.top < autre.bottom && autre.top < cadre.bottom;
        });
        if (!gene) { pris.push(cadre); }
        return !gene;
      });
      element.style.visibility = libre ? "" : "hidden";
    });
  }

  function texte(valeur) {
    const element = document.createElement("span");
    element.textContent = valeur;
    return element;
  }

  function montrer(identifiant) {
    const indicateur = donnees.indicateurs[identifiant];
    if (!indicateur) { return; }
    Object.keys(quartiers).forEach(function (code) {
      const quartier = quartiers[code];
      const valeur = indicateur.valeurs[code];
      const fond = valeur.classe === "absent" ? "url(#hachures)" : valeur.couleur || "#d9d9d9";
      quartier.forme.setStyle({ fillColor: fond });
      quartier.point.setStyle({ fillColor: fond });
      quartier.cercle.remove();
      if (valeur.rayon) { quartier.cercle.setRadius(valeur.rayon).addTo(carte); }
      const dit = quartier.qpv.nom + " : " + valeur.texte;
      quartier.forme.setTooltipContent(bulle(quartier.qpv.nom, valeur.texte));
      quartier.point.setTooltipContent(bulle(quartier.qpv.nom, valeur.texte));
      const trace = quartier.forme.getElement();
      trace.setAttribute("aria-label", dit + ". Ouvrir le portrait");
    });
    document.getElementById("legende").replaceChildren(legende(indicateur));
    pointer();
  }

  function bulle(nom, valeur) {
    const element = document.createElement("div");
    const titre = document.createElement("strong");
    titre.textContent = nom;
    element.append(titre, document.createElement("br"), valeur);
    return element;
  }

  function legende(indicateur) {
    const boite = document.createElement("div");
    const titre = document.createElement("p");
    titre.textContent = indicateur.libelle;
    const liste = document.createElement("ul");
    indicateur.legende.forEach(function (entree) {
      const ligne = document.createElement("li");
      const signe = document.createElement("span");
      signe.className = entree.rayon ? "rond" : "carre " + (entree.classe || "");
      if (entree.couleur) { signe.style.background = entree.couleur; }
      if (entree.rayon) { signe.style.width = signe.style.height = 2 * entree.rayon + "px"; }
      signe.setAttribute("aria-hidden", "true");
      ligne.append(signe, entree.texte);
      liste.append(ligne);
    });
    boite.append(titre, liste);
    return boite;
  }

  // A QPV is a link to the keyboard and to screen readers as it is to the mouse.
  Object.keys(quartiers).forEach(function (code) {
    const quartier = quartiers[code];
    const trace = quartier.forme.getElement();
    trace.setAttribute("role", "link");
    trace.setAttribute("aria-label", quartier.qpv.nom + ". Ouvrir le portrait");
    trace.setAttribute("tabindex", "0");
    trace.addEventListener("keydown", function (evenement) {
      if (evenement.key === "Enter") { quartier.forme.fire("click"); }
    });
    trace.addEventListener("focus", function () { quartier.forme.openTooltip(quartier.forme.getCenter()); });
    trace.addEventListener("blur", function () { quartier.forme.closeTooltip(); });
  });

  const choix = document.getElementById("indicateur");
  choix.addEventListener("change", function () { montrer(choix.value); });

  const surcouches = document.getElementById("surcouches");
  donnees.surcouches.forEach(function (surcouche) {
    const couche = L.featureGroup(
      surcouche.formes.map(function (forme) {
        return L.polygon(forme, { className: surcouche.classe, interactive: false });
      })
    );
    const etiquette = document.createElement("label");
    const case_ = document.createElement("input");
    case_.type = "checkbox";
    case_.addEventListener("change", function () { if (case_.checked) { couche.addTo(carte); } else { couche.remove(); } });
    etiquette.append(case_, " " + surcouche.titre);
    surcouches.append(etiquette);
    surcouches.hidden = false;
  });

  function cadrer(couche, anime) { carte.fitBounds(couche.getBounds(), { padding: [44, 36], animate: anime }); }
  document.getElementById("voir-qpv").addEventListener("click", function () { cadrer(groupe, true); });
  document.getElementById("voir-tout").addEventListener("click", function () { cadrer(communes, true); });
  // Leaflet draws for the size of the screen: on paper, the map has that of the style sheet.
  window.addEventListener("beforeprint", function () {
    document.body.classList.add("imprime");
    carte.invalidateSize(false);
    cadrer(groupe, false);
  });
  window.addEventListener("afterprint", function () {
    document.body.classList.remove("imprime");
    carte.invalidateSize(false);
  });
  carte.on("zoomend", pointer);
  carte.on("zoomend moveend resize", degager);
  cadrer(donnees.qpv.length ? groupe : communes, false);
  carte.setMaxBounds(communes.getBounds().pad(0.5));
  montrer(choix.value);
  degager();
  document.getElementById("carte-territoire").dataset.pret = "oui";
})();

(function () {
  const collation = new Intl.Collator("fr", { numeric: true });
  document.querySelectorAll("table.triable").forEach(function (tableau) {
    const corps = tableau.tBodies[0];
    const titres = Array.from(tableau.tHead.rows[0].cells);
    titres.forEach(function (titre, colonne) {
      titre.querySelector("button").addEventListener("click", function () {
        const croissant = titre.getAttribute("aria-sort") !== "ascending";
        titres.forEach(function (autre) { autre.removeAttribute("aria-sort"); });
        titre.setAttribute("aria-sort", croissant ? "ascending" : "descending");
        const lignes = Array.from(corps.rows);
        lignes.sort(function (a, b) {
          const x = a.cells[colonne].dataset.tri;
          const y = b.cells[colonne].dataset.tri;
          // Without a value: last, whatever the order.
          if (!x || !y) { return (x ? 0 : 1) - (y ? 0 : 1); }
          const nombres = !isNaN(x) && !isNaN(y);
          const ordre = nombres ? Number(x) - Number(y) : collation.compare(x, y);
          return croissant ? ordre : -ordre;
        });
        corps.append(...lignes);
      });
    });
  });
})();
