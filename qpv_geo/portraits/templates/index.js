"use strict";
const qpvGeo = {};
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
      return L.polygon(commune.anneaux, { className: "commune" }).bindTooltip(texte(commune.nom + (donnees.communes_generalisees ? " (limite généralisée)" : "")), { sticky: true });
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
      couche.on("click", function () { if (!qpvGeo.interroge) { window.location.href = encodeURIComponent(qpv.code) + ".html"; } });
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

  // A name touches its QPV, else a line leads to it; it lies nearer to it than to any other QPV, and covers nothing.
  // Where there is no such place, there is no name. Names of communes come last.
  function nommer(nom, point, classe) {
    return L.tooltip({ permanent: true, className: classe, interactive: false, direction: "center", offset: [0, 0], opacity: 1 })
      .setLatLng(point).setContent(texte(nom)).addTo(carte);
  }
  const noms = donnees.qpv.map(function (qpv) {
    return {
      quartier: quartiers[qpv.code],
      etiquette: nommer(qpv.nom, qpv.centre, "nom-qpv"),
      rappel: L.polyline([], { className: "rappel", interactive: false }),
    };
  });
  const nomsCommunes = donnees.communes.map(function (commune) {
    return { etiquette: nommer(commune.nom, commune.centre, "nom-commune"), dans: L.polygon(commune.anneaux).getBounds(), centre: commune.centre };
  });

  // What shows a QPV, as rings in pixels: the circle of its count or its point, else its outline.
  function contour(quartier) {
    const disque = [quartier.cercle, quartier.point].find(function (rond) { return carte.hasLayer(rond); });
    if (!disque) {
      return quartier.forme.getLatLngs().flat().map(function (anneau) {
        return anneau.map(function (sommet) { return carte.latLngToContainerPoint(sommet); });
      });
    }
    const milieu = carte.latLngToContainerPoint(disque.getLatLng());
    return [Array.from({ length: 24 }, function (_, rang) {
      const angle = rang * Math.PI / 12;
      return milieu.add(L.point(Math.cos(angle), Math.sin(angle)).multiplyBy(disque.getRadius()));
    })];
  }
  // Pixels between a box and rings: zero where they meet.
  function ecart(boite, anneaux) {
    const coins = [boite.min, boite.max, boite.getTopRight(), boite.getBottomLeft()];
    let moindre = Infinity;
    for (const anneau of anneaux) {
      for (let rang = 0; rang < anneau.length; rang += 1) {
        const debut = anneau[rang];
        const fin = anneau[(rang + 1) % anneau.length];
        if (L.LineUtil.clipSegment(debut, fin, boite)) { return 0; }
        const x = Math.max(boite.min.x - debut.x, debut.x - boite.max.x, 0);
        const y = Math.max(boite.min.y - debut.y, debut.y - boite.max.y, 0);
        moindre = Math.min(moindre, Math.hypot(x, y), ...coins.map(function (coin) { return L.LineUtil.pointToSegmentDistance(coin, debut, fin); }));
      }
    }
    return moindre;
  }
  function autour(milieu, taille) { return L.bounds(milieu.subtract(taille.divideBy(2)), milieu.add(taille.divideBy(2))); }

  // Sixteen places around an outline, where a box meets it; farther off, with a line to it.
  const COTES = [[0, -1], [0, 1], [1, 0], [-1, 0], [0.5, -1], [-0.5, -1], [0.5, 1], [-0.5, 1], [1, -1], [-1, -1], [1, 1], [-1, 1], [1, 0.5], [1, -0.5], [-1, 0.5], [-1, -0.5]];
  const LOIN = [10, 24, 40, 60];
  function places(nom, contours, cadre) {
    const anneaux = contours.get(nom.quartier);
    const emprise = L.bounds(anneaux.flat());
    const element = nom.etiquette.getElement();
    const taille = L.point(element.offsetWidth, element.offsetHeight);
    const trouvees = [];
    COTES.forEach(function (cote, rang) {
      const bord = emprise.getCenter().add(emprise.getSize().add(taille).divideBy(2).scaleBy(L.point(cote[0], cote[1])));
      const vers = emprise.getCenter().subtract(bord);
      const pas = vers.divideBy(Math.max(vers.distanceTo(L.point(0, 0)), 1));
      let boite = autour(bord, taille);
      for (let reste = bord.distanceTo(emprise.getCenter()); reste > 0 && ecart(boite, anneaux) > 0; reste -= 1) {
        boite = L.bounds(boite.min.add(pas), boite.max.add(pas));
      }
      // Leaflet rounds to whole pixels.
      boite = L.bounds(boite.min.add(pas.multiplyBy(2)), boite.max.add(pas.multiplyBy(2)));
      [0].concat(LOIN).forEach(function (loin) {
        const place = loin ? autour(bord.subtract(pas.multiplyBy(loin)), taille) : boite;
        const sien = ecart(place, anneaux);
        let autres = 60;
        contours.forEach(function (autre, quartier) { if (quartier !== nom.quartier) { autres = Math.min(autres, ecart(place, autre)); } });
        if (cadre.contains(place) && (loin ? sien > 0 : sien === 0) && autres > sien + 6) {
          trouvees.push({ boite: place, rappel: loin > 0, cout: 4 * loin + rang - autres / 2 });
        }
      });
    });
    return trouvees.sort(function (une, autre) { return une.cout - autre.cout; });
  }

  function degager() {
    const cadre = L.bounds([2, 2], carte.getSize().subtract([2, 2]));
    const origine = carte.getContainer().getBoundingClientRect();
    const pris = Array.from(document.querySelectorAll("#carte-territoire .leaflet-control, #legende"), function (element) {
      const boite = element.getBoundingClientRect();
      return L.bounds([boite.left - origine.left, boite.top - origine.top], [boite.right - origine.left, boite.bottom - origine.top]);
    });
    const contours = new Map(Object.values(quartiers).map(function (quartier) { return [quartier, contour(quartier)]; }));
    function libre(boite) { return !pris.some(function (autre) { return autre.overlaps(boite); }); }
    // Those of fewest places first.
    noms.map(function (nom) { return { nom: nom, places: places(nom, contours, cadre).filter(function (place) { return libre(place.boite); }) }; })
      .sort(function (un, autre) { return un.places.length - autre.places.length; })
      .forEach(function (choisi) {
        const nom = choisi.nom;
        const place = choisi.places.find(function (essai) { return libre(essai.boite); });
        nom.rappel.remove();
        nom.etiquette.getElement().style.visibility = place ? "" : "hidden";
        if (!place) { return; }
        pris.push(place.boite);
        const milieu = place.boite.getCenter();
        nom.etiquette.setLatLng(carte.containerPointToLatLng(milieu));
        if (place.rappel) {
          const but = carte.latLngToContainerPoint(nom.quartier.qpv.centre);
          const bord = L.LineUtil.clipSegment(milieu, but, place.boite)[1];
          nom.rappel.setLatLngs([carte.containerPointToLatLng(bord), nom.quartier.qpv.centre]).addTo(carte);
          pris.push(L.bounds(bord, but));
        }
      });
    nomsCommunes.forEach(function (nom) {
      const element = nom.etiquette.getElement();
      const boite = autour(carte.latLngToContainerPoint(nom.centre), L.point(element.offsetWidth, element.offsetHeight));
      // The name of a commune that it does not fit into says nothing of where it is.
      const tient = element.offsetWidth <= largeur(nom.dans) && cadre.contains(boite) && libre(boite);
      const seul = tient && Array.from(contours.values()).every(function (anneaux) { return ecart(boite, anneaux) > 0; });
      if (seul) { pris.push(boite); }
      element.style.visibility = seul ? "" : "hidden";
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
    degager();
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
    const methode = document.createElement("small");
    methode.textContent = indicateur.methode;
    boite.append(titre, liste, methode);
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

  // Keep the indicators whose name or theme holds each word, without regard to accents; show the first of them.
  const filtre = document.getElementById("filtre");
  const groupes = Array.from(choix.children, function (groupe) {
    return { groupe: groupe, options: Array.from(groupe.children) };
  });
  function simple(mots) { return mots.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase(); }
  filtre.hidden = false;
  filtre.addEventListener("input", function () {
    const mots = simple(filtre.value).split(/\s+/);
    groupes.forEach(function (entree) {
      entree.groupe.replaceChildren(...entree.options.filter(function (option) {
        const texte = simple(entree.groupe.label + " " + option.textContent);
        return mots.every(function (mot) { return texte.includes(mot); });
      }));
    });
    choix.replaceChildren(...groupes.map(function (entree) { return entree.groupe; }).filter(function (groupe) { return groupe.children.length; }));
    const aucun = !choix.options.length;
    filtre.setCustomValidity(aucun ? "Aucun indicateur de ce nom" : "");
    filtre.setAttribute("aria-invalid", String(aucun));
    if (!aucun) { montrer(choix.value); }
  });

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
  // Nearer than 1:25 000, where a pixel is 6.6 m, a generalised limit is not drawn as if it were exact.
  function nuancer() { carte.getContainer().classList.toggle("limites", donnees.communes_generalisees && carte.getZoom() > -Math.log2(6.6)); }
  carte.on("zoomend", nuancer);
  carte.on("zoomend", pointer);
  carte.on("zoomend moveend resize", degager);
  cadrer(donnees.qpv.length ? groupe : communes, false);
  carte.setMaxBounds(communes.getBounds().pad(0.5));
  montrer(choix.value);
  qpvGeo.carte = carte;
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
