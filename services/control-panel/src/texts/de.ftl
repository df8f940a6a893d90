### Was das Control Panel auf Deutsch sagt. Jeder Schlüssel wird von einer Seite gesagt und steht in jeder Sprache.

## Der Rahmen jeder Seite

layout-skip = Zum Inhalt springen
layout-menu = Menü
layout-guide = Anleitung
layout-crumbs = Wo Sie sind
layout-signed-in-as = Angemeldet als
layout-sign-out = Abmelden
layout-choose-domain = Andere Domain
layout-all-domains = Alle Domains
layout-zone = Zeiten gelten für { $zone }.
layout-zone-change = Ändern
layout-about = Postern, die Mailplattform
layout-looks-only = Nur zur Ansicht: Ändern kann das der Inhaber der Domain.
layout-undo = Rückgängig
layout-paging = Seiten
layout-first-page = Erste Seite
layout-next-page = Nächste Seite
find-field = Beginnt mit
find-search = Suchen
find-nothing = Nichts gefunden
find-nothing-text = Hier beginnt nichts mit „{ $name }“.
tick-all = Alle angezeigten ankreuzen
tick-none = Keine ankreuzen
layout-action = Aktion
layout-used-of = { $used } von { $all }
layout-copy = Kopieren
layout-copy-this = { $name } kopieren
layout-copied = Kopiert: { $name }

## Die erste Seite

front-title = Mail für { $name }
front-lead = Melden Sie sich an, um Postfächer, Weiterleitungen und Listen einzurichten, oder richten Sie Ihr Mailprogramm ein.
front-sign-in = Anmelden
front-login = Login
front-login-hint = Ihr Kundenlogin oder Ihre ganze Mailadresse.
front-password = Passwort
front-token-title = Für Betreiber
front-token = Token
front-token-hint = Das Betreiber-Token oder ein API-Token.
front-token-sign-in = Mit Token anmelden
front-program = Einstellungen für Mailprogramme
front-session-ended = Ihre Sitzung ist zu Ende. Melden Sie sich wieder an; Ihre Eingaben bleiben erhalten.
front-wrong = Login oder Passwort ist falsch.
front-suspended = Dieses Konto ist gesperrt. Bitte wenden Sie sich an Ihren Anbieter.
front-throttled = Zu viele Versuche. Bitte warten Sie eine Minute und versuchen Sie es wieder.
front-away = Die Anmeldung ist gerade nicht möglich. Das liegt nicht an Ihrem Passwort; bitte versuchen Sie es gleich wieder.

## Ein Formular, das noch einmal gesendet wird

carry-title = Machen Sie weiter, wo Sie waren
carry-lead = „{ $deed }“ wurde nicht ausgeführt, weil Ihre Sitzung zu Ende war. Sie sind wieder angemeldet.
carry-typed = Das hatten Sie eingegeben; jetzt senden?
carry-now = Jetzt ausführen?
carry-not-done = „{ $deed }“ wurde nicht ausgeführt, weil Ihre Sitzung zu Ende war. Hier können Sie es noch einmal tun.
carry-deed-other = Was Sie zuletzt getan haben
carry-send = Jetzt senden
carry-drop = Verwerfen
carry-away-lead = Ein Teil der Plattform antwortet nicht, deshalb weiß niemand, ob es geschehen ist. Was Sie eingegeben haben, ist hier aufgehoben: Warten Sie kurz und senden Sie es noch einmal.
carry-busy-lead = Zu viele Anfragen auf einmal. Was Sie eingegeben haben, ist hier aufgehoben: Warten Sie kurz und senden Sie es noch einmal.
carry-secrets = Passwörter und Codes werden nicht aufgehoben: Sie werden noch einmal danach gefragt.

## Sprache und Zeitzone

preferences-title = Sprache und Zeitzone
preferences-language = Sprache
preferences-zone = Zeitzone
preferences-zone-hint = Die Zeiten auf allen Seiten gelten für diese Zone.
preferences-save = Speichern

## Einstellungen eines Mailprogramms

program-incoming = Posteingang (POP3)
program-outgoing = Postausgang (SMTP)
program-server = Server
program-port = Port
program-or-port = oder Port
program-best = am besten
program-no-encryption = ohne Verschlüsselung
program-user = Benutzername
program-whole-address = Ihre ganze Adresse, etwa
program-password = Passwort
program-password-of-box = das Ihres Postfachs („normales Passwort“)
program-rule = Erst Mail abrufen, dann senden
program-rule-text = Über diesen Server darf nur senden, wer sich ausgewiesen hat. Am einfachsten: Rufen Sie zuerst Ihre Mail ab. Dann darf Ihre Verbindung { $time } lang senden, und bei jedem Abruf beginnt die Zeit neu.
program-login = Zum Senden anmelden
program-login-text = Schalten Sie im Mailprogramm die Authentifizierung für den Postausgang { $name } ein („SMTP-Authentifizierung“), mit demselben Benutzernamen und Passwort. Bei dieser Domain genügt es nicht, zuerst Mail abzurufen.
program-rule-auth = Kann sich Ihr Programm auch zum Senden anmelden („SMTP-Authentifizierung“, gleicher Name, gleiches Passwort), dann schalten Sie das ein: So spielt die Reihenfolge keine Rolle.
span-minutes = { $count ->
        [one] 1 Minute
       *[other] { $count } Minuten
    }
span-seconds = { $count ->
        [one] 1 Sekunde
       *[other] { $count } Sekunden
    }

## Zeiten

moment-today = heute, { $time }
moment-yesterday = gestern, { $time }
moment-tomorrow = morgen, { $time }

## Was schiefgehen kann

failure-home = Zur ersten Seite
failure-not-found = Diese Seite gibt es nicht
failure-not-found-text = Hier ist nichts, oder es gehört Ihnen nicht. Vielleicht wurde es inzwischen entfernt.
failure-not-permitted = Keine Berechtigung
failure-not-permitted-text = Ihr Login darf das nicht.
failure-changed = Das wurde inzwischen geändert
failure-changed-text = Seit Sie die Seite geöffnet haben, wurde das geändert: von jemand anderem, in einem anderen Fenster oder weil dasselbe Formular zweimal abgeschickt wurde. Gehen Sie zurück, laden Sie die Seite neu und sehen Sie noch einmal nach.
failure-busy = Zu viel auf einmal
failure-busy-text = Zu viele Anfragen auf einmal. Bitte warten Sie kurz und versuchen Sie es wieder.
failure-away = Das geht gerade nicht
failure-away-text = Ein Teil der Plattform antwortet nicht. Bitte versuchen Sie es gleich wieder. Wenn Sie gerade etwas geändert haben, sehen Sie nach, ob es gespeichert ist.
failure-foreign-form = Dieses Formular wurde nicht angenommen
failure-foreign-form-text = Es kam nicht von einer Seite dieses Panels oder gehört zu einer älteren Sitzung. Es wurde nichts geändert. Öffnen Sie die Seite neu und wiederholen Sie Ihre Eingabe.
failure-bad-form = Dieses Formular ist nicht lesbar
failure-bad-form-text = Es ist unvollständig oder kam zu langsam an. Es wurde nichts geändert.
failure-too-large = Dieses Formular ist zu groß
failure-too-large-text = So viel wird nicht auf einmal angenommen, oder Ihre Sitzung ist beendet und so viel kann bis zur Anmeldung nicht aufgehoben werden. Es wurde nichts geändert. Senden Sie es in Teilen.
failure-needs-tls = Bitte kommen Sie über eine sichere Verbindung
failure-needs-tls-text = Ein Passwort wird nur über eine sichere Verbindung (https) angenommen.
failure-session-ended = Ihre Sitzung ist zu Ende
failure-refused = Das war nicht möglich

## Formulare

form-save = Speichern
form-cancel = Abbrechen
form-see-below = Etwas stimmt noch nicht: siehe die markierten Felder.
form-away = Ein Teil der Plattform antwortet nicht, deshalb weiß niemand, ob es gespeichert ist. Warten Sie kurz und speichern Sie noch einmal.
form-changed = Jemand hat das geändert, während Sie getippt haben. Es wurde nichts gespeichert: Vergleichen Sie mit dem jetzigen Stand und speichern Sie noch einmal, wenn Ihre Fassung gelten soll.
form-of-line = „{ $line }“: { $why }
form-now = Jetzt steht da:

## Was Dienste zu einem Feld sagen

wording-missing = Bitte ausfüllen.
wording-no-address = Eine Adresse hat die Form name@domain.
wording-bad-character = Es enthält ein Zeichen, das in einer Adresse nicht erlaubt ist.
wording-bad-dot = Ein Punkt steht an einer falschen Stelle.
wording-no-domain = Das ist kein Domainname.
wording-address-too-long = Zu lang: höchstens 64 Zeichen vor dem @, 254 insgesamt.
wording-too-short = Zu kurz: mindestens { $a } Zeichen.
wording-too-long = Zu lang: höchstens { $a } Zeichen.
wording-too-many = Zu viele: höchstens { $a }.
wording-control-characters = Es enthält ein unsichtbares Zeichen, das nicht erlaubt ist.
wording-target-needed = Bitte nennen Sie mindestens eine Adresse.
wording-twice = { $a } steht zweimal da.
wording-reserved = Namen mit diesem Anfang sind der Plattform vorbehalten.
wording-end-before-start = Das Ende muss nach dem Anfang liegen.
wording-is-mailbox = { $a } ist schon ein POP-Konto.
wording-is-forward = { $a } ist schon eine Weiterleitung.
wording-is-list = { $a } ist schon eine Mailingliste.
wording-is-autoresponder = { $a } ist schon ein Autoresponder.
wording-all-members = Sie sind alle schon Mitglieder von { $a }.
wording-is-command = { $a } gehört zur Mailingliste { $b } selbst.
wording-domain-there = { $a } wird hier schon betrieben.
wording-ring = Das würde zu sich selbst zurückführen: { $a }
wording-no-box-for-copy = Es gibt kein POP-Konto { $a }, das eine Kopie behalten könnte.
wording-spam-box-needed = Bitte angeben, in welches Postfach Spam gelegt wird.
wording-no-such-box = { $b } ist keines Ihrer POP-Konten.
wording-limit = Ihr Tarif erlaubt { $b } davon, und Sie haben { $d }. Entfernen Sie etwas, oder bitten Sie Ihren Anbieter um mehr.
wording-customer-login = Ein Kundenlogin hat 1 bis 8 Zeichen, nur a bis z und 0 bis 9.
wording-login-reserved = Dieser Login ist der Plattform selbst vorbehalten.
wording-login-given = Der Login { $a } gehört einem Kunden oder hat einmal einem gehört; ein Login wird nie ein zweites Mal vergeben.
wording-app-passwords = { $a } hat { $b } App-Passwörter, mehr geht nicht: Entfernen Sie eines, das nicht mehr benutzt wird.
wording-app-name = Bitte schreiben Sie mit höchstens { $a } Zeichen, wofür es ist.
wording-many-addresses = Mit allen Weiterleitungen und Listen, zu denen das führt, würden mehr als { $a } Adressen erreicht.
wording-list-long = Eine Mailingliste hat höchstens { $a } Zeichen vor dem @: Dahinter kommen ihre Befehle.
wording-list-ascii = Vor dem @ einer Mailingliste stehen nur Buchstaben a bis z, Ziffern und . - _, ohne Umlaute und Anführungszeichen.
wording-list-plus = Eine Mailingliste hat kein + vor dem @.
wording-brace = Geschweifte Klammern stehen nur um Wörter, die eingesetzt werden: {"{"}sender{"}"}, {"{"}subject{"}"} und {"{"}date{"}"}. Eine Klammer selbst schreiben Sie doppelt.
wording-interval = Von einer Stunde bis zu einem Jahr.
wording-grant = Hier nicht möglich: siehe unten.
wording-box-bound = Das ist mehr, als ein Postfach fassen darf: Bitten Sie Ihren Anbieter um mehr.
wording-codes = Zu viele Codes waren falsch: Warten Sie { $a } Minuten.
wording-rewritten = { $a } hat die Form einer Adresse, wie die Plattform sie beim Weiterleiten bildet.
wording-list-would-own = { $a } gibt es schon und wäre eine Adresse der Liste { $c } selbst: Entfernen Sie sie zuerst.
wording-second-name = { $a } ist ein zweiter Name von { $b }: Stellen Sie alles dort ein.
wording-second-names = { $a } hat zweite Namen: Entfernen Sie diese zuerst ({ $b }).
wording-no-removal = Dort wurde nichts entfernt, das zurückkommen könnte.
wording-days-over = { $c } wurde vor mehr als { $a } Tagen entfernt und kann nicht mehr zurückkommen.
wording-mail-gone = { $a } wurde vor mehr als { $b } Tagen entfernt: Die Mail darin gibt es nicht mehr.
wording-list-gone = Die Mailingliste { $a } kann nicht mehr zurückkommen.
wording-domain-others = { $a } gehört jetzt einem anderen Kunden.
wording-domain-gone = { $a } gibt es hier nicht mehr: Legen Sie zuerst die Domain an.
wording-default-box-was = { $a } war das Standardpostfach von { $b }, das jetzt ein anderes hat.
wording-default-box-stays = { $a } ist das Standardpostfach von { $b }: Es lässt sich nur mit der Domain entfernen.
wording-default-box-password = { $a } ist das Standardpostfach von { $b }: Sein Passwort ist das des Kundenlogins.
wording-dns-no-answer = DNS hat nicht geantwortet: Versuchen Sie es in einigen Minuten noch einmal. Geändert wurde nichts.
wording-dns-spf-missing = Setzen Sie diesen TXT-Eintrag bei { $a }, damit andere der Mail glauben, die diese Plattform dafür sendet.
wording-dns-spf-add = Der SPF-Eintrag von { $a } erlaubt dieser Plattform nicht zu senden: Fügen Sie { $b } hinzu.
wording-dns-spf-many = { $a } hat mehr als einen SPF-Eintrag, und damit gilt keiner: Lassen Sie einen stehen.
wording-dns-servers = Tragen Sie diese Nameserver dort ein, wo { $a } registriert ist, oder setzen Sie den MX darunter.
wording-dns-servers-spare = Nicht nötig, denn der MX von { $a } führt hierher; nur, wenn diese Plattform das ganze DNS bedienen soll.
wording-dns-mx-zone = Die Nameserver von { $a } sind schon unsere; Mail kommt hierher nur mit diesem MX in der Zone.
wording-dns-mx = Setzen Sie diesen MX im DNS von { $a }; ohne ihn kommt die Mail der Welt für { $b } nicht hierher.
wording-dns-claim = Mehr als ein Kunde hat { $a } gewünscht, oder die Domain hatte hier einen anderen Inhaber: Setzen Sie diesen TXT-Eintrag bei { $b }, um zu zeigen, dass sie Ihnen gehört.
wording-dns-host-remove = Entfernen Sie diesen Eintrag: Die Plattform hat keine Adresse dieser Art, und Mailprogramme, die es dort bei { $a } versuchen, warten vergebens.
wording-dns-host = Setzen Sie { $a } auf die erwarteten Adressen: Dort suchen Mailprogramme die Plattform.
wording-dns-key = Setzen Sie diesen TXT-Eintrag bei { $a }: Er zeigt den Schlüssel, mit dem die Mail der Domain signiert wird.
wording-dns-key-next = Setzen Sie diesen TXT-Eintrag bei { $a } und lassen Sie den anderen stehen: Er zeigt den nächsten Schlüssel; mit ihm wird signiert, sobald DNS ihn zeigt.
wording-dns-key-ended = Lassen Sie diesen TXT-Eintrag bei { $a } noch einige Tage stehen: Mail, die mit diesem Schlüssel signiert wurde, ist noch unterwegs.
wording-dns-dmarc-many = { $a } hat mehr als einen DMARC-Eintrag, und damit gilt keiner: Lassen Sie einen stehen.
wording-dns-dmarc = Setzen Sie diesen TXT-Eintrag bei { $a }; andere sollen wissen, was sie mit Mail tun, die nicht wirklich von der Domain ist.

## Domains

domains-title = Ihre Domains
domains-lead = Wählen Sie die Domain, an der Sie arbeiten möchten.
domains-none = Noch keine Domain
domains-none-text = Postfächer, Weiterleitungen und Listen gehören zu einer Domain. Die erste fügt Ihr Anbieter hinzu.
domains-none-staff = Legen Sie zuerst einen Kunden und eine Domain an.
domains-staff-lead = Alle Domains dieser Plattform und wem sie gehören.

## POP-Konten

pop-title = POP-Konten
pop-lead = Die Postfächer von { $name }: jedes hat ein eigenes Login, ein Passwort und einen eigenen Speicher.
pop-new = Neues POP-Konto
pop-new-lead = Ein neues Postfach bei { $name }. Es nimmt Mail an, sobald Sie auf den Knopf drücken.
pop-create = POP-Konto anlegen
pop-empty = Noch kein POP-Konto
pop-empty-text = Ein POP-Konto ist ein Postfach mit eigenem Login: jemand@{ $name }. Bis Sie eines anlegen, nimmt das Standardpostfach alle Mail.
pop-column-login = Login
pop-column-name = Name
pop-column-use = Belegt
pop-column-state = Status
pop-column-removed = Entfernt
pop-column-until = Aufgehoben bis
pop-default-box = Standardpostfach
pop-state-active = aktiv
pop-state-full = voll
pop-state-suspended = gesperrt
pop-field-address = Adresse
pop-field-address-hint = Der Teil vor dem @, etwa anna oder vorname.nachname.
pop-field-name = Name
pop-field-name-hint = Für Sie, damit Sie wissen, wem das Postfach gehört. Darf leer bleiben.
pop-field-password = Passwort
pop-field-password-hint = Mindestens 8 Zeichen. Länger ist besser: drei oder vier Wörter.
pop-field-password-again = Passwort noch einmal
pop-field-quota = Größe
pop-field-megabytes = Eigene Größe
pop-field-megabytes-hint = Nur bei „eine eigene Größe“.
pop-quota-plan = wie in Ihrem Tarif
pop-quota-own = eine eigene Größe
pop-quota-none = keine eigene Grenze
pop-quota-contradiction = Hier steht eine eigene Größe: Wählen Sie daneben „eine eigene Größe“, oder lassen Sie das leer.
pop-quota-wrong = Bitte geben Sie eine ganze Zahl in Megabyte an, mindestens 1.
pop-password-differs = Die beiden Passwörter sind nicht gleich.
pop-created = { $name } wurde angelegt und nimmt jetzt Mail an.
pop-changed = { $name } wurde geändert.
pop-password-changed = { $name } hat jetzt ein neues Passwort. Computer, die mit dem alten gesendet haben, müssen erst wieder Mail abrufen.
pop-facts = Auf einen Blick
pop-messages = Nachrichten
pop-message-count = { $count ->
        [one] 1 Nachricht
       *[other] { $count } Nachrichten
    }
pop-newest = Neueste Nachricht
pop-created-at = Angelegt
pop-unknown-now = gerade nicht bekannt
pop-settings = Name und Größe
pop-password = Passwort
pop-set-password = Passwort setzen
pop-lock = Wer das Postfach offen hat
pop-lock-free = Niemand. Ein Mailprogramm kann sich anmelden.
pop-lock-held = Immer nur ein Mailprogramm kann ein Postfach benutzen. Dieses hat es gerade:
pop-lock-from = Computer
pop-lock-since = Seit
pop-release = Sitzung beenden
pop-released = Die Sitzung wurde beendet. Das Postfach { $name } ist frei.
pop-grants = Wer ohne Passwort senden darf
pop-grants-login = Niemand: Mailprogramme dieser Domain müssen sich zum Senden anmelden.
pop-grants-none = Kein Computer hat dieses Postfach kürzlich abgerufen.
pop-grant = { $client } darf senden bis { $time }
pop-revoke = Entziehen
pop-revoked = { $name } darf erst wieder senden, wenn von dort Mail abgerufen wurde.
pop-clear = Postfach leeren
pop-clear-hint = Was herausgenommen wird, lässt sich 30 Tage lang zurückholen, sofern Ihr Anbieter keine andere Frist gesetzt hat.
pop-clear-this = Dieses Postfach leeren …
pop-clear-ask = Die Nachrichten aus dem Postfach { $name } herausnehmen?
pop-clear-all = Alle Nachrichten herausnehmen
pop-clear-damaged = Nur beschädigte
pop-cleared = Herausgenommen: { $count }.
pop-clearing-stopped = Es endete vorzeitig: Ein Teil der Plattform war nicht erreichbar. Was herausgenommen wurde, lässt sich zurückholen; beginnen Sie für den Rest noch einmal.
pop-clearing-looked-at = Angesehen
pop-clearing-taken = Herausgenommen
pop-bring-back = Zurückholen
pop-brought-back = Wieder im Postfach: { $count }.
pop-remove = Dieses Konto entfernen
pop-remove-hint = Mail dorthin wird dann abgelehnt oder geht an die Standardadresse. Der Inhalt bleibt 30 Tage lang aufgehoben, sofern Ihr Anbieter keine andere Frist gesetzt hat, und kommt mit „Rückgängig“ oder „Wiederherstellen“ zurück.
pop-remove-ask = { $name } wirklich entfernen?
pop-remove-this = Konto entfernen
pop-removed = Entfernte Konten
pop-removed-text = Diese lassen sich noch mit all ihrer Mail wiederherstellen.
pop-removed-more = Weitere entfernte Konten
pop-removed-said = { $name } wurde entfernt.
pop-removed-said-referred = { $name } wurde entfernt. Darauf zeigen noch: { $names }.
pop-restore = Wiederherstellen
pop-restored = { $name } ist wieder da, mit Mail und Passwort.
pop-restored-without = { $name } ist wieder da, mit Mail und Passwort, aber ohne: { $names }. In der Regel ist dafür in Ihrem Tarif kein Platz: Schaffen Sie Platz und klicken Sie dann unter Aktivität in der zugehörigen Zeile auf „Rückgängig“.
pop-restored-not = { $name } wurde nicht zurückgeholt: Das Postfach ist schon wieder da, oder die Frist dafür ist vorbei.
pop-merge = Wessen Mail ist das?
pop-merge-ask = { $name } hat ein neues Postfach, seit das alte entfernt wurde. Wenn Sie fortfahren, kommt alle Mail des alten Postfachs in das neue: Wer das neue Postfach jetzt hat, kann sie lesen, und sie lässt sich nicht wieder herausnehmen.
pop-merge-new-since = Das neue Postfach gibt es seit
pop-merge-hint = Bis Sie fortfahren, ist nichts geändert, und das alte Postfach lässt sich weiterhin wiederherstellen. Um das alte Postfach selbst samt Passwort zurückzubekommen, entfernen Sie zuerst das neue.
pop-merge-this = Alte Mail in das neue Postfach geben
pop-merged = { $name } hat inzwischen ein neues Postfach; die alte Mail wurde dort hinzugefügt.
pop-guide = Ein POP-Konto ist ein Postfach bei { $name } mit eigenem Login und Passwort.
pop-guide-login = Login
pop-guide-login-text = Die ganze Adresse, etwa anna@{ $name }. Beim Standardpostfach ist es Ihr Kundenlogin.
pop-guide-server = Server
pop-guide-server-text = Mailprogramme holen und senden über { $name }.
pop-guide-send = Senden
pop-guide-send-text = Nach dem Abrufen darf ein Computer { $time } lang senden, ohne Passwort für das Senden.
pop-guide-use = Belegt
pop-guide-use-text = Wie viel von seinem Platz ein Postfach belegt. Mail an ein volles Postfach wartet beim Server des Absenders, der es wieder versucht.
pop-guide-remove = Entfernen
pop-guide-remove-text = Ein entferntes Konto lässt sich in der angezeigten Frist mit seiner Mail wiederherstellen.
reference-forward = Weiterleitung { $name }
reference-list-member = Liste { $name } (Mitglied)
reference-list-owner = Liste { $name } (Inhaber)
reference-default-address = Standardadresse von { $name }
reference-autoresponder = Autoresponder { $name }
reference-other = { $name }

## Weiterleitungen

forward-title = Weiterleitungen
forward-lead = Eine Weiterleitung nimmt Mail für eine Adresse an und gibt sie an andere weiter.
forward-new = Neue Weiterleitung
forward-create = Weiterleitung anlegen
forward-empty = Noch keine Weiterleitung
forward-empty-text = Eine Weiterleitung gibt Mail weiter: info@{ $name } an die Leute, die antworten, hier oder anderswo.
forward-more = { $count ->
        [one] und 1 weitere
       *[other] und { $count } weitere
    }
forward-column-address = Adresse
forward-column-targets = Führt zu
forward-column-kind = Art
forward-column-changed = Geändert
forward-kind-alias = Alias
forward-kind-forward = Weiterleitung
forward-kind-copy = behält eine Kopie
forward-field-address = Adresse, die weitergeleitet wird
forward-field-address-hint = Der Teil vor dem @, etwa info oder vertrieb.
forward-field-targets = Führt zu
forward-field-targets-hint = Eine Adresse je Zeile, hier oder anderswo, höchstens 100.
forward-field-copy = Eine Kopie im Postfach dieser Adresse behalten
forward-field-copy-hint = Nur wenn es ein POP-Konto mit derselben Adresse gibt.
forward-created = { $name } wird ab jetzt weitergeleitet.
forward-changed = { $name } wurde geändert.
forward-remove = Diese Weiterleitung entfernen
forward-remove-hint = Mail dorthin geht dann an das POP-Konto derselben Adresse, wenn es eines gibt, sonst an die Standardadresse.
forward-remove-this = Weiterleitung entfernen
forward-removed = Die Weiterleitung { $name } wurde entfernt.
forward-restored = Die Weiterleitung { $name } ist wieder da.
forward-guide = Eine Weiterleitung nimmt Mail für eine Adresse von { $name } an und gibt sie weiter. Sie braucht kein Passwort und hebt keine Mail auf.
forward-guide-alias = Alle Ziele sind eigene Adressen, etwa vertrieb@{ $name } an anna@{ $name }: ein anderer Name für ein Postfach.
forward-guide-forward = Ein Ziel ist anderswo: Mail für info@{ $name } verlässt die Plattform.
forward-guide-copy = Das POP-Konto derselben Adresse bekommt die Mail auch.
forward-guide-ring = Schleifen
forward-guide-ring-text = Eine Weiterleitung, die zu sich selbst zurückführen würde, wird nicht angenommen; der Weg wird gezeigt.

## Start

home-title = Start
home-heading = { $name } auf einen Blick
home-all-well = Alles in Ordnung: { $name } ist in Betrieb, und es gibt nichts zu tun.
home-needs = Zu erledigen
home-not-live = { $name } ist noch nicht in Betrieb: Das DNS führt nicht hierher. Mail von außen kommt nicht an.
home-lost = { $name } ist außer Betrieb: Das DNS führt woandershin. Mail von außen kommt nicht an.
home-grace = Das DNS führt { $name } nicht mehr hierher. Bis { $time } bleibt die Domain in Betrieb.
home-records = Im DNS von { $name } fehlen diese Einträge oder sind anders: { $records }.
home-claim = { $name } braucht den TXT-Eintrag { $record }. Er beweist, dass die Domain Ihnen gehört.
home-full = Das Postfach { $name } ist voll; Mail dorthin wartet bei den Servern der Absender.
home-suspended = { $name } ist gesperrt: dort kann sich niemand anmelden.
home-nearly-full = Das Postfach { $name } ist fast voll: { $used } von { $all }.
home-full-more = { $count ->
    [one] Noch ein Postfach ist voll oder fast voll.
   *[other] Noch { $count } Postfächer sind voll oder fast voll.
 }
home-suspended-more = { $count ->
    [one] Noch ein Postfach ist gesperrt.
   *[other] Noch { $count } Postfächer sind gesperrt.
 }
home-refused = Mail von { $sender } an { $recipient } wurde abgelehnt ({ $time }).
home-refused-automatic = Eine automatische Antwort oder ein Bericht an { $recipient } wurde abgelehnt ({ $time }).
home-late = Mail an { $name } konnte noch nicht zugestellt werden.
home-late-more = { $count ->
    [one] Noch eine Nachricht konnte bisher nicht hinaus.
   *[other] Noch { $count } Nachrichten konnten bisher nicht hinaus.
 }
home-member = { $member } bekommt von der Liste { $list } seit { $time } nichts: Mail an dieses Mitglied kam zurück.
home-member-more = { $count ->
    [one] Noch ein Mitglied einer Liste bekommt nichts, weil Kopien zurückkamen.
   *[other] Noch { $count } Mitglieder von Listen bekommen nichts, weil Kopien zurückkamen.
 }
home-look = Ansehen
home-of = von { $all }
home-all-domains = Die Zahlen gelten für alle Ihre Domains zusammen.
home-storage = an Mail
home-fullest = Größte Postfächer
home-fullest-none = Alle Postfächer sind leer.
home-lately = Zuletzt
home-lately-none = Zuletzt ist nichts verzeichnet. Wer etwas ändert, und wann, steht dann hier.
home-all-activity = Alle Aktivitäten
home-own-box = Mein Postfach öffnen
home-guide = Hier sehen Sie, ob { $name } funktioniert, und was zu tun ist, wenn nicht.
home-guide-server = Mailserver
home-guide-server-text = Jedes Mailprogramm dieser Domain holt und sendet über { $name }.
home-guide-panel = Dieses Panel
home-guide-panel-text = Auch unter dieser Adresse:
home-guide-order = Sofort wirksam
home-guide-order-text = Was Sie hier ändern, gilt binnen einer Sekunde, für neue und offene Verbindungen.

## Mailinglisten

list-title = Mailinglisten
list-lead = Eine Mailingliste gibt jede Mail an alle ihre Mitglieder weiter.
list-new = Neue Mailingliste
list-create = Mailingliste anlegen
list-empty = Noch keine Mailingliste
list-empty-text = Eine Mail an team@{ $name } erreicht alle Mitglieder der Liste. Mitglieder kommen und gehen per Mail, oder Sie tragen sie hier ein.
list-column-address = Liste
list-column-member = Mitglied
list-column-origin = Aufgenommen
list-column-since = Seit
list-column-posts = Beiträge
list-posts-sent = bekommt sie
list-posts-suspended = bekommt keine
list-posts-why = Mail kam zurück; seit
list-posts-resume = Wieder senden
list-posts-resumed = { $name } bekommt die Beiträge dieser Liste wieder.
list-members = Mitglieder
list-member-count = { $count ->
        [one] 1 Mitglied
       *[other] { $count } Mitglieder
    }
list-no-members = Noch keine Mitglieder
list-no-members-text = Tragen Sie oben Adressen ein, eine je Zeile, oder lassen Sie die Leute per Mail beitreten.
list-served-elsewhere = anderswo betrieben
list-settings = Einstellungen der Liste
list-field-address = Adresse der Liste
list-field-address-hint = Der Teil vor dem @, höchstens 48 Zeichen, etwa team oder news.
list-field-description = Beschreibung
list-field-description-hint = Worum es in der Liste geht, für die Mitglieder.
list-field-posting = Wer schreiben darf
list-posting-members = Mitglieder
list-posting-members-text = wer auf der Liste steht, nach Absenderadresse
list-posting-anyone = Alle
list-posting-anyone-text = auch Leute von außen; rechnen Sie mit Spam
list-posting-owner = Nur der Inhaber
list-posting-owner-text = für Rundbriefe
list-field-replies = Wohin Antworten gehen
list-replies-author = An den Verfasser
list-replies-author-text = eine Antwort erreicht eine Person
list-replies-list = An die Liste
list-replies-list-text = eine Antwort erreicht alle
list-field-prefix = Vor dem Betreff
list-field-prefix-hint = Etwa [team]. Höchstens 40 Zeichen; darf leer bleiben.
list-field-owner = Inhaber
list-field-owner-hint = Bekommt Fragen zur Liste und darf immer schreiben. Leer: postmaster@{ $name }.
list-field-largest = Größte Mail
list-field-largest-hint = Leer: was die Plattform annimmt.
list-field-listserv = Listenserver anderswo
list-field-listserv-hint = Meist leer. Die Adresse eines anderen Listenservers: Mail an die Liste, an ihre -subscribe- und ihre -unsubscribe-Adresse geht dann dorthin, und die Mitglieder hier bekommen nichts.
list-largest-wrong = Bitte geben Sie eine ganze Zahl in Kilobyte an, mindestens 1.
list-created = Die Liste { $name } wurde angelegt. Tragen Sie jetzt die Mitglieder ein.
list-created-with = Die Liste { $name } wurde angelegt.
list-changed = { $name } wurde geändert.
list-removed = Die Liste { $name } wurde entfernt.
list-removed-referred = Die Liste { $name } wurde entfernt. Dorthin führen noch: { $names }.
list-restored = Die Liste { $name } ist wieder da, mit ihren Mitgliedern.
list-remove = Diese Liste entfernen
list-remove-this = Liste entfernen
list-remove-hint = Mail dorthin geht dann an die Standardadresse. Eine entfernte Liste kommt mit ihren Mitgliedern durch „Rückgängig“ zurück.
list-remove-ask = Die Liste { $name } wirklich entfernen?
list-remove-members = { $count ->
        [one] Sie hat 1 Mitglied.
       *[other] Sie hat { $count } Mitglieder.
    }
list-add-members = Mitglieder eintragen
list-field-members = Adressen
list-field-members-hint = Eine je Zeile, bis zu 10.000 auf einmal. Über jede Zeile wird berichtet; eine falsche hält keine andere auf.
list-field-members-new-hint = Eine Adresse je Zeile, bis zu 10.000. Darf leer bleiben: Mitglieder lassen sich jederzeit eintragen und können beitreten.
list-too-many-lines = Mehr als 10.000 Zeilen: Bitte tragen Sie sie in Teilen ein.
list-none-ticked = Es war kein Mitglied angekreuzt.
list-remove-ticked = Angekreuzte Mitglieder entfernen
list-members-removed = Von der Liste entfernt: { $count }.
list-members-back = Wieder auf der Liste: { $count }.
list-origin-added = hier eingetragen
list-origin-subscribed = per Mail beigetreten
list-report = { $added } eingetragen, { $known } schon vorhanden, { $wrong } nicht angenommen.
list-adding-stopped = Es endete vorzeitig: Ein Teil der Plattform war nicht erreichbar. Senden Sie alle Zeilen noch einmal: Wer schon Mitglied ist, wird ausgelassen.
list-to-list = Zur Liste
list-report-lines = Zeilen, die nicht eingetragen wurden
list-line-over-limit = Ihr Tarif erlaubt keine weiteren Mitglieder
list-guide = Eine Liste bei { $name } gibt jede Mail an ihre Mitglieder weiter und hebt nichts auf.
list-guide-commands = Per Mail
list-guide-commands-text = Eine Mail an eine der Adressen einer Liste, hier von { $name }:
list-guide-example = team
list-guide-joins = tritt bei
list-guide-leaves = tritt aus
list-guide-owner = erreicht den Inhaber
list-guide-posting = Nach der Absenderadresse der Mail; der Inhaber darf immer.
list-guide-replies = Wen ein Druck auf „Antworten“ erreicht.
list-guide-leaving = Austreten
list-guide-leaving-text = Jede Mail sagt, wie man austritt. Niemand kommt durch die Mail eines Fremden auf eine Liste: { $name } fragt vorher.
list-guide-listserv = Für Listen, die ein anderer Server betreibt: Alles für die Liste geht dorthin.

## Autoresponder

answer-title = Autoresponder
answer-lead = Ein Autoresponder antwortet von selbst, etwa wenn jemand nicht da ist.
answer-new = Neuer Autoresponder
answer-create = Autoresponder anlegen
answer-empty = Noch kein Autoresponder
answer-empty-text = Eine Woche weg, oder eine Adresse, die nur Auskunft gibt: info@{ $name } kann von selbst antworten.
answer-column-address = Adresse
answer-column-until = Bis
answer-column-state = Status
answer-no-end = ohne Ende
answer-state-answers = antwortet
answer-state-waits = noch nicht
answer-state-over = vorbei
answer-field-address = Adresse, die antwortet
answer-field-address-hint = Der Teil vor dem @: der eines POP-Kontos oder einer Weiterleitung, oder ein eigener.
answer-field-subject = Betreff der Antwort
answer-field-subject-hint = Etwa: Bis Montag nicht da
answer-field-text = Text der Antwort
answer-field-text-hint = Reiner Text. Die Anleitung nennt die Wörter, die eingesetzt werden.
answer-field-start = Antwortet ab
answer-field-start-hint = Leer: sofort.
answer-field-end = Antwortet bis
answer-field-zone-hint = Leer: ohne Ende. Beides in { $name }.
answer-field-interval = Abstand
answer-field-interval-hint = Derselbe Absender bekommt in dieser Zeit höchstens eine Antwort.
answer-interval-hour = eine Stunde
answer-interval-day = ein Tag
answer-interval-days = drei Tage
answer-interval-week = eine Woche
answer-interval-month = 30 Tage
answer-interval-hours = { $count ->
        [one] eine Stunde
       *[other] { $count } Stunden
    }
answer-moment-wrong = Bitte geben Sie Tag und Uhrzeit an, etwa 2026-12-24T18:00.
answer-there-already = { $name } hat schon einen Autoresponder: Ändern Sie diesen.
answer-created = { $name } antwortet jetzt von selbst.
answer-changed = Der Autoresponder von { $name } wurde geändert.
answer-removed = Der Autoresponder von { $name } wurde entfernt.
answer-restored = Der Autoresponder von { $name } ist wieder da.
answer-remove = Diesen Autoresponder entfernen
answer-remove-hint = Mail kommt weiter an wie bisher, ohne Antwort.
answer-remove-this = Autoresponder entfernen
answer-guide = Ein Autoresponder bei { $name } antwortet von selbst, mit dem Text, den Sie ihm geben, und jedem Absender nur ab und zu einmal.
answer-guide-alone = Neben einem Postfach oder allein
answer-guide-alone-text = An der Adresse eines POP-Kontos wird die Mail auch aufgehoben. Allein, etwa als info@{ $name }, antwortet er und hebt nichts auf.
answer-guide-once = Nie doppelt
answer-guide-once-text = Listen, andere Autoresponder und Rückläufer bekommen keine Antwort, und niemand bekommt zwei innerhalb des Abstands.
answer-guide-words = Wörter, die eingesetzt werden
answer-guide-sender = wer geschrieben hat
answer-guide-subject = der Betreff dieser Mail
answer-guide-date = der Tag

## Standardadresse

default-title = Standardadresse
default-lead = Was mit Mail an Namen bei { $name } geschieht, die es nicht gibt.
default-field-action = Mail an unbekannte Namen
default-box = Standardpostfach
default-box-text = Sie kommt in das Postfach, das sich mit Ihrem Kundenlogin öffnet.
default-box-login = Sein Login ist { $name }, mit Ihrem eigenen Passwort.
default-box-open = Seite öffnen
default-address = An eine Adresse
default-address-text = Sie geht weiter an die Adresse unten.
default-reject = Ablehnen
default-reject-text = Der Absender erfährt sofort, dass es den Namen nicht gibt. Hält den meisten Spam fern.
default-discard = Wegwerfen
default-discard-text = Sie wird angenommen und weggeworfen, und niemand erfährt es.
default-field-target = Adresse
default-field-target-hint = Nur bei „an eine Adresse“: hier oder anderswo.
default-target-unused = Dorthin geht Mail nur mit „An eine Adresse“: Wählen Sie das, oder lassen Sie dieses Feld leer.
default-changed = Die Standardadresse von { $name } wurde geändert.
default-guide = Sie nimmt, was bei { $name } sonst nichts nimmt: Namen mit Tippfehlern und Namen, die es nie gab.
default-guide-order = Was vorgeht
default-guide-order-text = POP-Konten, Weiterleitungen, Listen und Autoresponder gehen immer vor, gleich wann sie angelegt wurden.
default-guide-postmaster = Postmaster
default-guide-postmaster-text = postmaster@{ $name } und abuse@{ $name } erreichen in jedem Fall das Standardpostfach: Das verlangen die Standards für E-Mail.
default-guide-spam = Spam
default-guide-spam-text = Absender von Spam raten Namen. „Ablehnen“ hält das fern.

## Domain & DNS

domain-title = Domain & DNS
domain-state-live = in Betrieb
domain-state-live-text = Mail wird angenommen, und das DNS führt hierher.
domain-state-live-by-operator = Mail wird angenommen. Der Betreiber hat die Domain in Betrieb genommen; das DNS muss noch nicht hierher führen.
domain-state-pending = wartet auf DNS
domain-state-pending-text = Das DNS führt noch nicht hierher. Absender werden gebeten, es später zu versuchen; bis dahin geht nichts verloren.
domain-state-lost = nicht in Betrieb
domain-state-lost-text = Das DNS hat zu lange anderswohin geführt. Setzen Sie die Einträge und prüfen Sie noch einmal.
domain-state-leaving = DNS führt anderswohin
domain-state-leaving-text = Mail wird noch angenommen, aber das DNS führt nicht mehr hierher. Setzen Sie die Einträge zurück, sonst geht die Domain außer Betrieb.
domain-state-claimed = beansprucht
domain-state-claimed-text = Ein anderer Kunde hat diesen Namen. Setzen Sie den Eintrag unten als Beweis, dass er Ihnen gehört; dann geht er zu Ihnen über.
domain-second-name = Zweiter Name von
domain-owner = Inhaber
domain-checked = Zuletzt geprüft
domain-never = noch nie
domain-grace = Geht außer Betrieb
domain-claim = Dieser Eintrag wird gebraucht, um zu beweisen, wem die Domain gehört:
domain-verify = DNS jetzt prüfen
domain-rules = Regeln für das Senden
domain-field-senders = Wer in ihrem Namen senden darf
domain-senders-owner = Nur meine eigenen Postfächer
domain-senders-owner-text = die übliche Wahl
domain-senders-named = Meine eigenen Postfächer und genannte Kunden
domain-senders-named-text = für Partner auf dieser Plattform
domain-senders-anyone = Alle auf dieser Plattform
domain-senders-anyone-text = kein Schutz des Namens
domain-field-named = Genannte Kunden
domain-field-named-hint = Ihre Kundenlogins, eines je Zeile.
domain-senders-missing = Bitte nennen Sie mindestens einen Kunden.
domain-senders-unused = Diese Kunden dürfen nur bei „Meine eigenen Postfächer und genannte Kunden“ senden: Wählen Sie das, oder lassen Sie dieses Feld leer.
domain-field-grant = Darf nach dem Abrufen senden
domain-field-grant-hint = 5 bis 60. Leer: { $time }, wie überall auf dieser Plattform.
domain-minutes = Minuten
domain-grant-wrong = Bitte geben Sie eine ganze Zahl von Minuten an, 5 bis 60.
domain-field-auth-only = Nur mit Passwort senden
domain-field-auth-only-hint = Abrufen allein lässt dann niemanden senden; Mailprogramme müssen sich zum Senden anmelden.
domain-field-plaintext = Passwörter unverschlüsselt annehmen
domain-field-plaintext-hint = Normalerweise aus: Mailprogramme müssen sich dann mit SSL/TLS oder STARTTLS anmelden. Nur für sehr alte Programme einschalten, die beides nicht können. Deren Passwörter und Mail gehen im Klartext durchs Netz, und wer unterwegs mithört, kann sie lesen. Wirkt, wo Ihr Anbieter es erlaubt.
domain-incoming = Eingehende Mail
domain-field-spam = Mail, die nach Spam aussieht
domain-spam-mark = Zustellen und kennzeichnen
domain-spam-mark-text = die übliche Wahl: Mailprogramme können nach der Kennzeichnung sortieren (X-Spam-Flag)
domain-spam-follow = Abweisen, was sicher Spam ist
domain-spam-follow-text = in Zweifelsfällen soll der Absender es später noch einmal versuchen; alles andere wird gekennzeichnet zugestellt
domain-spam-quarantine = In ein Spam-Postfach legen
domain-spam-quarantine-text = nichts wird abgewiesen, und Sie können nachsehen, ob etwas kein Spam war
domain-spam-off = Nicht prüfen
domain-spam-off-text = Mail kommt, wie sie ist
domain-field-spam-mailbox = Spam-Postfach
domain-field-spam-mailbox-hint = Adresse eines Ihrer POP-Konten. Solange es voll ist, wird Spam vorerst nicht angenommen.
domain-spam-mailbox-unused = Dorthin kommt Spam nur mit „In ein Spam-Postfach legen“: Wählen Sie das, oder lassen Sie dieses Feld leer.
domain-field-dmarc = Fälschungen abweisen
domain-field-dmarc-hint = Mail, die nicht von ihrem Verfasser stammt, wird abgewiesen, wenn dessen Domain es so will (DMARC).
domain-changed = Die Regeln von { $name } wurden geändert.
domain-more = Weitere Domains
domain-more-text = Ein Kunde kann mehrere Domains haben, oder mehrere Namen für eine.
domain-add = Domain hinzufügen
domain-new-lead = Fügen Sie eine Domain hinzu, die Ihnen gehört. Sie geht in Betrieb, sobald ihr DNS hierher führt.
domain-field-name = Domainname
domain-field-name-hint = Etwa example.com, ohne www und ohne mail.
domain-field-alias = Nur ein zweiter Name für { $name }
domain-field-alias-hint = Dieselben Postfächer, Weiterleitungen und Listen sind dann unter beiden Namen erreichbar.
domain-created = { $name } wurde hinzugefügt. Jetzt muss das DNS hierher führen.
domain-removed = { $name } wurde entfernt, mit Postfächern und Weiterleitungen.
domain-remove-this = Diese Domain entfernen
domain-remove-ask = Mit { $name } werden alle Postfächer, Weiterleitungen, Listen und Autoresponder entfernt. Mail dorthin wird dann abgelehnt. Wird die Domain hier wieder angelegt, stehen ihre Postfächer unter „Entfernte Konten“, und das Übrige lässt sich unter „Aktivität“ zurückholen, solange die Frist dafür läuft.
domain-remove-confirm = Geben Sie zur Bestätigung { $name } ein
domain-remove-differs = Das ist nicht { $name }.
domain-guide = Das DNS sagt der Welt, wohin Mail für { $name } geht. Bitten Sie, wer Ihr DNS pflegt, das hier Gezeigte einzutragen.
domain-guide-mx = Diese Einträge führen die Mail für { $name } hierher. Eines von beiden genügt: unsere Nameserver oder unser Mailhost als MX.
domain-guide-host = Lässt Mailprogramme { $name } finden.
domain-guide-spf = Diese Einträge sagen, dass diese Plattform für { $name } senden darf. Ohne sie gilt Mail oft als Spam.
domain-guide-senders = Hält andere Kunden davon ab, als irgendwer@{ $name } zu senden.
dns-title = Was die Welt sieht
dns-good = gut
dns-missing = fehlt
dns-different = anders
dns-spare = nicht nötig
dns-no-answer = keine Antwort
dns-found = Gefunden
dns-nothing = nichts
dns-expected = Erwartet
dns-ttl = { $count ->
        [one] Nach einer Änderung kann es bis zu 1 Minute dauern, bis alle sie sehen.
       *[other] Nach einer Änderung kann es bis zu { $count } Minuten dauern, bis alle sie sehen.
    }
dns-delegation = Nameserver
dns-mx = Mailserver (MX)
dns-mail-host = Mailhost
dns-spf = Erlaubnis zu senden (SPF)
dns-dkim = Signaturschlüssel (DKIM)
dns-dmarc = Was mit Fälschungen geschieht (DMARC)
dns-claim = Beweis des Besitzes
dns-other = Eintrag

## Aktivität

activity-title = Aktivität
activity-lead = Wer was wann von wo geändert hat.
activity-empty = Nichts vorhanden
activity-empty-text = Zu dieser Suche ist nichts verzeichnet.
activity-any = alle
activity-kind = Art
activity-action = Vorgang
activity-name = Name
activity-from = Von
activity-to = Bis
activity-day-wrong = Bitte geben Sie einen Tag an, etwa 2026-12-24.
activity-filter = Anzeigen
activity-all = Alles anzeigen
activity-undone = { $name } ist wieder wie zuvor.
activity-kind-customer = Kunde
activity-kind-mailbox = POP-Konto
activity-kind-forward = Weiterleitung
activity-kind-list = Liste
activity-kind-list-member = Listenmitglieder
activity-kind-autoresponder = Autoresponder
activity-kind-default-address = Standardadresse
activity-kind-domain = Domain
activity-kind-app-password = App-Passwort
activity-kind-api-token = API-Token
activity-kind-lock = Sitzung
activity-kind-box = Postfach
activity-kind-grant = Sendeerlaubnis
activity-action-create = wurde angelegt
activity-action-update = wurde geändert
activity-action-delete = wurde entfernt
activity-action-restore = wurde zurückgeholt
activity-action-set-password = bekam ein neues Passwort
activity-action-verify = wurde geprüft
activity-action-release = wurde freigegeben
activity-action-clear = wurde geleert
activity-action-import = bekam Mail aus einer Datei
activity-action-merge = bekam die Mail eines entfernten Postfachs
activity-action-revoke = wurde entzogen
activity-kind-second-factor = zweiter Faktor
activity-kind-panel-session = Anmeldung
activity-action-end = wurde abgemeldet
activity-action-recovery-code = hat einen Wiederherstellungscode benutzt
activity-action-refused = hatte zu viele falsche Codes
activity-field-targets = Führt zu
activity-field-expires = Gilt bis
activity-field-role = Für
activity-field-scopes = Darf
activity-value-usual = wie überall auf dieser Plattform
activity-field-copy = Kopie bleibt
activity-yes = ja
activity-no = nein
activity-kind-limits = Grenzen
activity-kind-sending-limit = Sendegrenze
activity-kind-queue-entry = wartende Mail
activity-members-create = hat neue Mitglieder
activity-members-delete = hat Mitglieder verloren
activity-action-unsubscribe = wurde von einem Mitglied verlassen
activity-action-suspend = schreibt einem Mitglied nicht mehr, dessen Mail zurückkam
activity-action-reached = ist vorerst ausgeschöpft
activity-action-retry = wird sofort erneut versucht
activity-action-hold = wurde angehalten
activity-action-remove = ging an den Absender zurück
activity-action-remove-silently = wurde ohne Nachricht an den Absender entfernt
activity-role-service = die Plattform
activity-role-operator = Betreiber
activity-role-support = Support
activity-role-customer = Kunde
activity-role-mailbox = Postfachnutzer
activity-guide = Jede Änderung an { $name } und Ihren anderen Domains steht hier, gleich wer sie gemacht hat: Sie, ein Betreiber oder ein Programm.
activity-guide-who = Wer
activity-guide-who-text = Das Login oder Programm, und die Adresse des Computers, von dem es kam.
activity-guide-undo-text = Holt zurück, was entfernt wurde, wie es war. Postfächer kommen mit ihrer Mail zurück, solange sie aufgehoben ist.
activity-guide-secrets = Keine Geheimnisse
activity-guide-secrets-text = Passwörter und Mail werden nie aufgeschrieben.

## Das eigene Passwort

password-title = Mein Passwort ändern
password-lead = Das Passwort Ihres Kundenlogins. Es öffnet auch das Standardpostfach jeder Ihrer Domains.
password-current = Bisheriges Passwort
password-current-wrong = Das ist nicht Ihr bisheriges Passwort.
password-current-missing = Geben Sie auch Ihr bisheriges Passwort ein.
password-current-later = Für dieses Postfach wurden zu viele falsche Passwörter versucht, vielleicht von einem Mailprogramm mit einem alten. Beenden Sie es, warten Sie einige Minuten und versuchen Sie es noch einmal.
password-new = Neues Passwort
password-changed = Ihr Passwort wurde geändert. Melden Sie sich mit dem neuen an.

## Probleme?

trouble-title = Probleme?
trouble-lead = Was geht nicht? Jede Frage geht an genau die Teile, die darüber entscheiden, und durch das Fragen ändert sich nichts.
trouble-send = Ich kann keine Mail senden
trouble-send-lead = Der Server weist ab, was Sie senden, oder Ihr Programm erreicht ihn nicht.
trouble-lock = Postfach ist schon geöffnet („can’t lock account“)
trouble-lock-lead = Ein anderes Mailprogramm hat das Postfach geöffnet.
trouble-login = Fehler bei Benutzername und Passwort
trouble-login-lead = Der Server nimmt den Benutzernamen oder das Passwort nicht an.
trouble-host = Der Mailserver wird nicht gefunden
trouble-host-lead = Das Mailprogramm kann den Namen des Servers nicht auflösen.
trouble-field-mailbox = Postfach
trouble-field-login = Benutzername
trouble-field-login-hint = Genau so, wie er im Mailprogramm steht.
trouble-field-recipient = An wen
trouble-field-recipient-hint = Die Adresse, an die Sie schreiben wollen. Leer: irgendjemand außerhalb.
trouble-field-client = Adresse des Computers
trouble-field-client-hint = Die des Computers, an dem Sie sitzen, steht schon da.
trouble-field-logs-in = Das Mailprogramm meldet sich zum Senden an
trouble-field-logs-in-hint = „SMTP-Authentifizierung“, „Server erfordert Authentifizierung“.
trouble-ask = Grund herausfinden
trouble-ask-host = DNS jetzt fragen
trouble-works = Es geht.
trouble-later = Es geht im Augenblick nicht.
trouble-refused = Es geht nicht.
trouble-works-send = Diese Mail würde angenommen. Kann Ihr Programm trotzdem nicht senden, vergleichen Sie seine Einstellungen mit denen unter „Mailprogramme“: Der Server ist { $name }.
trouble-works-lock = Niemand hat das Postfach geöffnet: Ein Mailprogramm kann sich bei { $name } anmelden.
trouble-works-login = Mit dem richtigen Passwort geht diese Anmeldung bei { $name }. Meldet das Mailprogramm trotzdem einen Fehler, setzen Sie hier ein neues Passwort und tippen dasselbe dort ein.
trouble-works-host = Mailprogramme finden den Server { $name }. Findet ihn eines nicht, vergleichen Sie den Namen des Servers Buchstabe für Buchstabe.
trouble-next-wait = Es wurden zu viele falsche Passwörter versucht. Berichtigen Sie zuerst das Passwort in jedem Mailprogramm, warten Sie dann { $time } und versuchen Sie es noch einmal.
trouble-next-login-form = Das kann kein Benutzername sein. Tippen Sie ihn so, wie Sie ihn bekommen haben: meist Ihre ganze Mailadresse.
trouble-next-login-known = Diesen Benutzernamen gibt es nicht. Prüfen Sie die Schreibweise. Der eines Postfachs ist seine ganze Adresse; eine Weiterleitung hat keinen.
trouble-next-domain-live = Die Domain ist noch nicht in Betrieb: DNS führt nicht hierher. Bis dahin kann sich dort niemand anmelden.
trouble-next-not-suspended = Dieses Konto ist gesperrt. Nur der Anbieter kann das beenden.
trouble-next-lock-free = Ein Postfach kann immer nur von einem Mailprogramm benutzt werden. Schließen Sie das andere, oder beenden Sie hier seine Sitzung.
trouble-next-may-relay = Dieser Computer hat in letzter Zeit keine Mail abgerufen. Rufen Sie zuerst bei { $name } Mail ab und senden Sie dann; oder schalten Sie die Authentifizierung für den Postausgang ein, dann ist die Reihenfolge gleich.
trouble-next-sender-permitted = Die Absenderadresse gehört einem anderen Kunden. Nehmen Sie eine eigene, oder bitten Sie deren Inhaber um Erlaubnis.
trouble-next-budget-left = Die Sendegrenze dieser Stunde ist erreicht. Warten Sie bis zur nächsten Stunde, oder bitten Sie den Anbieter um eine höhere Grenze.
trouble-next-logs-in = Von hier aus genügt es nicht, zuerst Mail abzurufen. Schalten Sie die Authentifizierung für den Postausgang { $name } ein, mit demselben Benutzernamen und Passwort.
trouble-next-client-seen = Nichts von dem, was dieser Computer sendet, kommt bei { $name } an. Wahrscheinlich sperrt Ihr Internetanbieter den Port 25: Nehmen Sie zum Senden den Port von der Seite zum Einrichten.
trouble-wire = Was die Server sagen, im Wortlaut
trouble-wire-none = Nichts: Bevor das behoben ist, wird kein Server gefragt.
trouble-rules = Was geprüft wurde
trouble-rule-passed = gut
trouble-rule-stopped = nicht gut
trouble-rule-no-obstacle = kein Hindernis
trouble-rule-login-form = Kann ein Benutzername so aussehen?
trouble-rule-login-known = Gibt es diesen Benutzernamen?
trouble-rule-may-try-now = Zuletzt wenige falsche Passwörter?
trouble-rule-domain-known = Ist die Domain hier zu Hause?
trouble-rule-domain-live = Ist die Domain in Betrieb?
trouble-rule-not-suspended = Ist das Konto nicht gesperrt?
trouble-rule-lock-free = Ist das Postfach frei?
trouble-rule-recipient-place = Ist der Empfänger erreichbar?
trouble-rule-may-relay = Darf dieser Computer senden?
trouble-rule-sender-permitted = Darf dieser Absender benutzt werden?
trouble-rule-budget-left = Ist von der Grenze dieser Stunde etwas übrig?
trouble-rule-own-address = Hat der Computer seine Adresse für sich allein?
trouble-rule-grants-allowed = Genügt es, zuerst Mail abzurufen?
trouble-rule-client-seen = Kommt Mail von diesem Computer an?
trouble-rule-dns-asked = Wurde DNS gefragt?
trouble-mend = Beheben
trouble-mend-set-up = Einstellungen zum Senden zeigen
trouble-mend-records = Mail kommt an, aber nicht alle Einträge sind, wie sie sein sollten: Andere könnten Ihrer Mail misstrauen.
trouble-mend-resume = Sperre aufheben
trouble-mend-owner = Der Inhaber der Domain kann das unter „Domain & DNS“ beheben.
trouble-mend-default-box = Das Standardpostfach hat das Passwort des Kundenlogins; nur der Kunde kann es ändern.
trouble-mend-login = Tippen Sie den Benutzernamen noch einmal, Buchstabe für Buchstabe, wie Sie ihn bekommen haben.
trouble-mend-new-box = Legen Sie das Postfach { $name } jetzt an:
trouble-mend-recipient = Das kann nur der Inhaber dieser Adresse beheben. Prüfen Sie die Schreibweise.
trouble-mend-full = Volles Postfach öffnen
trouble-resumed = { $name } ist wieder aktiv.
trouble-guide = Vier Dinge gehen bei Mailprogrammen schief. Hier erfahren Sie den Grund, für { $name } und den Computer, an dem Sie sitzen, und meist können Sie es gleich beheben.
trouble-guide-send = Rufen Sie zuerst bei { $name } Mail ab; dann dürfen Sie { $time } lang senden.
trouble-guide-lock = Das Postfach ist in einem anderen Programm geöffnet. Ein abgestürztes Programm gibt es nach einer Minute frei; der Knopf tut es sofort.
trouble-guide-login = Der Benutzername ist die ganze Adresse, wie in anna@{ $name }. Passwörter werden nie gezeigt, nur neu gesetzt.
trouble-guide-host = Mailprogramme müssen { $name } finden. Ob sie das tun, entscheidet das DNS.

## Mailprogramme

setup-title = Mailprogramme
setup-heading = { $name } einrichten
setup-lead = Was ein Mailprogramm wissen muss, um Mail von { $name } abzurufen und zu senden.
setup-box-lead = Alles, was ein Mailprogramm von { $name } wissen muss. Nur das Passwort steht nicht hier.
setup-boxes = Für ein Postfach
setup-by-itself = Geben Sie Ihren Namen, die Adresse { $name } und Ihr Passwort ein: Den Rest findet das Programm selbst.
setup-apple = Öffnen Sie das Profil auf dem Gerät und installieren Sie es in den Einstellungen. Es fragt nach Ihrem Passwort.
setup-apple-profile = Profil holen
setup-phone = Auf dem Telefon
setup-phone-text = Richten Sie die Kamera auf den Code: Er öffnet diese Einstellungen auf dem Telefon.
setup-phone-code = Code der Adresse mit den Einstellungen von { $name }
setup-guide = Jedes Programm, das POP3 und SMTP kann, funktioniert mit { $name }.
setup-guide-server = { $name }, zum Abrufen und zum Senden.
setup-guide-thunderbird = Findet seine Einstellungen bei { $name }, wenn DNS auch diesen Namen hierher führt.
setup-guide-outlook = Fragt { $name }; auch dieser Name muss hierher führen.
setup-guide-apple = Ein Profil richtet { $name } in einem Schritt ein. Es enthält kein Passwort.
setup-guide-password = Das des Postfachs. Es steht in keiner der Dateien und keinem der Codes dieser Seite.

## Die Betreiberansicht

operator-title = Betreiberansicht
operator-customer = Kunde
operator-domains = Domains
operator-mailbox = Postfach
operator-customers = Kunden
operator-customers-lead = Alle, denen hier Domains gehören.
operator-customers-none = Noch kein Kunde
operator-customers-none-text = Einem Kunden gehören Domains, deren Mail er selbst einrichtet. Legen Sie den ersten an.
operator-customers-guide = Ein Kunde meldet sich mit seinem Kundenlogin an und richtet die Mail seiner Domains selbst ein.
operator-customers-guide-login = Ein bis acht kleine Buchstaben und Ziffern. Es wird nie an jemand anderen vergeben, auch später nicht.
operator-customers-guide-suspend = Niemand von diesem Kunden kann sich mehr anmelden oder senden; Mail wird weiter angenommen und aufbewahrt.
operator-customers-guide-limits = Wie viel von allem ein Kunde haben darf. Eine niedrigere Grenze nimmt nichts weg, sie verhindert nur mehr.
operator-customer-new = Neuer Kunde
operator-customer-create = Kunde anlegen
operator-customer-created = Der Kunde { $name } wurde angelegt. Nun fehlt seine erste Domain.
operator-field-login = Kundenlogin
operator-field-login-hint = 1 bis 8 Zeichen: a bis z und 0 bis 9.
operator-field-live = Ohne Rückfrage beim DNS in Betrieb nehmen
operator-field-live-hint = Für Domains, deren DNS erst später geändert wird.
operator-domain-added = Die Domain { $name } wurde hinzugefügt.
operator-suspend = Sperren
operator-resume = Sperre aufheben
operator-suspended = { $name } ist gesperrt: Niemand von dort kann sich anmelden oder senden.
operator-resumed = { $name } darf wieder alles benutzen.
operator-limits = Grenzen
operator-limits-hint = Leer: was die Plattform allen gibt. -1: keine Grenze.
operator-limits-changed = Die Grenzen von { $name } wurden geändert.
operator-limit = Grenze
operator-limit-used = In Gebrauch
operator-limit-holds = Höchstens
operator-limit-none = keine Grenze
operator-limit-wrong = Bitte eine ganze Zahl angeben, oder -1 für keine Grenze.
operator-limit-storage = Alle Postfächer zusammen
operator-limit-box = Ein Postfach
operator-limit-messages = Empfänger außerhalb je Stunde
operator-domains-guide = Alle Domains aller Kunden. Der Name öffnet die Menüs der Domain, wie ihr Inhaber sie sieht.
operator-queue = Warteschlange
operator-queue-lead = Mail, die die Plattform noch verlassen muss, die älteste zuerst.
operator-queue-none = Die Warteschlange ist leer
operator-queue-none-text = Mail, die nicht gleich übergeben werden kann, wartet hier, mit dem Grund.
operator-queue-recipient = Empfänger
operator-queue-sender = Absender
operator-queue-next = Nächster Versuch
operator-queue-outcome = Letztes Ergebnis
operator-queue-domain = An Domain
operator-queue-message = Nachricht
operator-queue-waiting = wartet
operator-queue-active = wird gesendet
operator-queue-held = angehalten
operator-queue-attempts = { $count ->
        [one] 1 Versuch
       *[other] { $count } Versuche
    }
operator-queue-count = { $count ->
        [one] 1 Eintrag
       *[other] { $count } Einträge
    }
operator-queue-retry = Jetzt versuchen
operator-queue-hold = Anhalten
operator-queue-remove = Aufgeben
operator-queue-remove-ask = { $count } aufgeben? Die Nachrichten werden diesen Empfängern dann nicht zugestellt.
operator-queue-silent = Dem Absender nichts sagen
operator-queue-silent-hint = Sonst erfährt der Absender, dass die Mail nicht angekommen ist.
operator-queue-chosen-none = Nichts ausgewählt: Kreuzen Sie zuerst Einträge an.
operator-queue-retried = Jetzt versucht: { $count }.
operator-queue-stopped = Angehalten: { $count }.
operator-queue-removed = Aufgegeben: { $count }.
operator-queue-guide = Jede Zeile ist eine Nachricht für einen Empfänger außerhalb oder eine Aufgabe, etwa das Verteilen eines Beitrags an eine Liste.
operator-queue-guide-retry = Macht die Einträge sofort fällig, auch angehaltene.
operator-queue-guide-hold = Keine Versuche mehr, bis jemand es wieder versucht; die Tage bis zur Rücksendung als unzustellbar laufen weiter.
operator-queue-guide-remove = Beendet es endgültig. Der Absender erfährt es, wenn Sie nichts anderes sagen.
operator-locks = Offene Postfächer
operator-locks-lead = Nur ein Mailprogramm zugleich kann ein Postfach öffnen. Diese sind jetzt offen.
operator-locks-none = Kein Postfach ist offen
operator-locks-none-text = Solange ein Mailprogramm Mail abruft, steht sein Postfach hier.
operator-gateway = Zugang
operator-locks-guide = „Can’t lock account“ heißt, dass das Postfach in dieser Liste steht.
operator-locks-guide-release = Beendet die Sitzung, die das Postfach hat; sie löscht nichts mehr, und eine andere kann sich sofort anmelden.
operator-locks-guide-gateway = Der Prozess, mit dem die Sitzung verbunden ist.
operator-grants = Wer senden darf
operator-grants-lead = Computer, die ohne Passwort senden dürfen, weil sie ihre Mail abgerufen haben.
operator-grants-none = Kein Computer hat in letzter Zeit Mail abgerufen
operator-grants-none-text = Wer Mail abruft, darf eine Weile senden und steht hier.
operator-grant-since = Mail abgerufen
operator-grant-until = Darf senden bis
operator-grants-guide = Nach dem Abrufen von Mail darf ein Computer { $time } lang senden, wenn seine Domain keine eigene Zeit hat. Wo eine Domain nur Passwörter gelten lässt, darf nach dem Abrufen allein niemand senden.
operator-grants-guide-revoke = Beendet es sofort und trennt Verbindungen, die darauf bauen. Der nächste Abruf erlaubt es wieder.
operator-grants-guide-six = Bei IPv6 gilt das ganze Netz eines Anschlusses (/64) als ein Computer.
operator-audit = Protokoll
operator-audit-lead = Jede Änderung auf der Plattform: wer sie wann und von wo gemacht hat.
operator-audit-actor = Von
operator-audit-details = Vorher und nachher
operator-audit-guide = Kunde, Name und „Von“ müssen ganz dastehen, so wie in den Einträgen.
operator-health = Zustand
operator-health-lead = Die Dienste hinter diesem Panel, eben gefragt.
operator-health-well = Alle Dienste antworten.
operator-health-ill = Nicht allen Diensten geht es gut.
operator-health-service = Dienst
operator-health-time = Antwort nach
operator-health-good = in Ordnung
operator-health-bad = gestört
operator-health-guide = Solange einer von ihnen fehlt, arbeiten die anderen weiter: Mail wird dann mit „später noch einmal“ beantwortet, und nichts geht verloren.
operator-health-account = Kunden, Domains, Postfächer und wohin Mail führt.
operator-health-auth = Anmeldungen, und wer senden darf.
operator-health-delivery = Die Postfächer und die Warteschlange.
operator-health-gateways = Die Zugänge für Mailprogramme. Sie und jede einzelne Instanz der anderen werden gefragt, wenn das Panel ihre Health-Ports kennt (POSTERN_HEALTH_DOORS).

## Gesendet & empfangen
mail-title = Gesendet & empfangen
mail-lead = Die Mail aller Ihrer Domains, die neueste zuerst: woher sie kam, wohin sie ging, was aus ihr wurde. Nie ihr Inhalt.
mail-received = empfangen
mail-sent = gesendet
mail-address = Adresse
mail-number = Nummer einer Nachricht
mail-number-hint = Wie sie auf der Seite der Nachricht, in der Antwort an das Mailprogramm und in Berichten steht.
mail-number-show = Diese Nachricht zeigen
mail-number-unknown = Von Ihnen gibt es keine Nachricht mit dieser Nummer, oder sie ist zu alt.
mail-direction = Richtung
mail-state = Status
mail-empty = Keine Mail
mail-empty-text = Es kam und ging nichts, oder nichts passt zu Ihrer Suche.
mail-column-time = Angenommen
mail-column-sender = Von
mail-column-recipient = An
mail-column-state = Status
mail-column-size = Größe
mail-sender-none = Bericht oder automatische Antwort
mail-state-queued = wartet
mail-state-queued-text = Die Zustellung wird einige Tage lang von selbst wiederholt.
mail-state-delivered = im Postfach
mail-state-delivered-text = Sie liegt hier in einem Postfach oder wurde dort abgeholt.
mail-state-sent = übergeben
mail-state-sent-text = Der Server des Empfängers nahm sie an; was dort geschieht, ist hier nicht bekannt.
mail-state-failed = nicht zugestellt
mail-state-failed-text = Sie wurde aufgegeben und der Absender benachrichtigt. Der Verlauf der Nachricht nennt den Grund.
mail-state-passed-on = weitergeleitet
mail-state-passed-on-text = Die Adresse führte weiter: zu einer Weiterleitung oder einer Liste, oder die Mail wird auf Wunsch des Inhabers verworfen.
mail-state-removed = herausgenommen
mail-state-removed-text = Ein Betreiber nahm sie aus der Warteschlange.
mail-guide = Alles, was in den letzten Wochen an Ihre Adressen kam, auch an die von { $name }, oder von ihnen ausging. Die Uhrzeit einer Nachricht führt zu ihrem Verlauf.
mail-guide-refused = Nicht dabei?
mail-guide-refused-text = Was schon bei der Übergabe abgelehnt wurde, taucht hier nicht auf: Der Absender erfuhr sofort, warum. „Probleme?“ findet heraus, was ein Absender hören würde.
mail-story-title = Verlauf einer Nachricht
mail-story-lead = Was mit ihr geschah, der Reihe nach.
mail-story-id = Nummer der Nachricht
mail-story-login = Gesendet mit dem Login
mail-story-peer = Vom Computer
mail-story-via = kam über { $name }
mail-story-next = Nächster Versuch
mail-story-read = Zuerst abgeholt
mail-story-deleted = Gelöscht

# Security, second factor, log-ins, app passwords
code-title = Ihr Code
code-lead = Ihr Passwort stimmt. Jetzt noch der Code Ihrer Authentifizierungs-App.
code-field = Code
code-hint = Sechs Ziffern aus der Authentifizierungs-App oder einer Ihrer Wiederherstellungscodes.
code-wrong = Dieser Code ist falsch, zu alt oder schon benutzt. Warten Sie auf den nächsten.
code-too-many = Zu viele Codes waren falsch. Bitte warten Sie 15 Minuten.
code-waited = Das hat länger als fünf Minuten gedauert. Bitte geben Sie Ihr Passwort noch einmal ein.
security-title = Sicherheit
security-lead = Wo Sie angemeldet sind und was man zum Anmelden braucht.
security-sessions = Wo Sie angemeldet sind
security-open = Angemeldete Browser
security-open-none = keine
security-this = dieser Browser
security-since = seit
security-used = zuletzt benutzt
security-from-unknown = unbekannte Adresse
security-end = Abmelden
security-end-others = Alle anderen abmelden
security-end-all = Überall abmelden
security-ended = Dort abgemeldet.
security-ended-all = Sie sind überall abgemeldet.
security-ended-of = { $name } ist überall abgemeldet.
security-password = Passwort
security-password-text = Nach einer Änderung muss sich jeder Browser neu anmelden.
security-password-change = Passwort ändern
security-guide = Wer sich hier anmelden kann, kann unter { $name } alles lesen und ändern, was Ihnen gehört.
security-guide-sessions = Eine Adresse oder Zeit ist Ihnen fremd? Melden Sie sich überall ab und ändern Sie dann Ihr Passwort.
security-guide-factor = Wer Ihr Passwort erfährt, kommt ohne Ihr Telefon trotzdem nicht herein. Mailprogramme werden nicht danach gefragt.
security-guide-codes = Für den Tag, an dem das Telefon fehlt. Jeder gilt für eine Anmeldung. Bewahren Sie sie auf Papier auf, nicht im Postfach.
security-guide-app = Ein Passwort für ein einzelnes Mailprogramm. Es öffnet diese Seiten nicht und lässt sich einzeln zurücknehmen.
factor-title = Zweiter Faktor
factor-on = an
factor-off = aus
factor-off-text = Neben dem Passwort werden Sie dann nach einem Code aus einer App auf Ihrem Telefon gefragt.
factor-begin = Zweiten Faktor einrichten
factor-remove = Ausschalten
factor-removed = Der zweite Faktor ist aus.
factor-scan = Scannen Sie das Bild mit Ihrer Authentifizierungs-App oder tippen Sie den Schlüssel ein. Geben Sie dann den Code ein, den sie anzeigt.
factor-qr = QR-Code für eine Authentifizierungs-App
factor-secret = Schlüssel
factor-confirm-hint = Sechs Ziffern, die die App jetzt anzeigt.
factor-confirm = Einschalten
factor-again = Die App hat den Schlüssel schon. Geben Sie den Code ein, den sie jetzt anzeigt, oder brechen Sie ab und beginnen Sie mit einem neuen Schlüssel.
factor-turned-on = Der zweite Faktor ist an. Alle anderen Browser wurden abgemeldet.
factor-turned-on-others-stay = Der zweite Faktor ist an. Die anderen Browser konnten gerade nicht abgemeldet werden: Bewahren Sie die Codes auf und melden Sie die anderen danach unter Sicherheit ab.
factor-codes-title = Wiederherstellungscodes
factor-codes-text = Fehlt das Telefon, können Sie sich mit jedem dieser Codes einmal anmelden. Sie werden nur jetzt angezeigt: Drucken oder notieren Sie sie.
factor-codes-kept = Ich habe sie aufbewahrt
factor-reset = Zweiten Faktor entfernen
factor-reset-said = { $name } meldet sich jetzt ohne zweiten Faktor an.
factor-of-user = Wer dieses Postfach benutzt, meldet sich hier mit einem zweiten Faktor an. Entfernen Sie ihn, wenn Telefon und Codes verloren sind.
login-title = Anmeldungen
login-none = In letzter Zeit hat sich niemand angemeldet.
login-pop3 = Abrufen (POP3)
login-smtp = Senden (SMTP)
login-panel = Dieses Panel
login-failed = Letzter Fehlschlag
login-why-password = Das Passwort war falsch.
login-why-suspended = Das Passwort stimmte; das Postfach oder sein Kunde ist gesperrt.
login-why-domain = Die Domain ist noch nicht in Betrieb.
login-why-throttled = Zu viele falsche Passwörter davor: dieser Computer muss warten.
login-why-clear-text = Das Passwort kam unverschlüsselt, was die Domain nicht annimmt.
login-why-code = Der Code des zweiten Faktors war falsch.
app-title = App-Passwörter
app-lead = Ein eigenes Passwort für jedes Mailprogramm von { $name }: geht ein Gerät verloren, wird nur dieses zurückgenommen.
app-empty = Noch keine App-Passwörter
app-empty-text = Legen Sie für jedes Gerät eines an und geben Sie es dem Mailprogramm statt des Passworts.
app-new = Neues App-Passwort
app-field-name = Für welches Programm
app-field-name-hint = Zum Beispiel „Thunderbird auf dem Laptop“.
app-field-for = Wofür es gilt
app-create = App-Passwort anlegen
app-made = Ihr neues App-Passwort
app-made-text = Es wird nur jetzt angezeigt. Mit oder ohne Bindestriche, wie Sie mögen.
app-column-name = Programm
app-column-for = Gilt für
app-column-made = Angelegt
app-column-used = Zuletzt benutzt
app-unused = nicht bekannt
app-remove = Zurücknehmen
app-removed = Das App-Passwort „{ $name }“ öffnet nichts mehr.
app-guide-text = Passwörter für einzelne Programme an { $name }, jedes für Abrufen oder Senden. Sie öffnen nie dieses Panel.
factor-codes-left = { $count ->
    [0] Kein Wiederherstellungscode ist übrig: Schalten Sie den zweiten Faktor aus und wieder ein, um neue zu bekommen.
    [one] Ein Wiederherstellungscode ist übrig.
   *[other] { $count } Wiederherstellungscodes sind übrig.
}

## Bilder

moment-weekday = { $day ->
    [1] Mo
    [2] Di
    [3] Mi
    [4] Do
    [5] Fr
    [6] Sa
   *[other] So
 }
picture-traffic = Eingehende und ausgehende Mail
picture-traffic-text = Ein Balken über der Linie für Mail, die kam, einer darunter für Mail, die ging. Die Zahlen stehen in der Tabelle dahinter.
picture-traffic-none = In dieser Zeit kam und ging keine Mail.
picture-spans = Wie weit zurück
picture-week = 7 Tage
picture-day = 24 Stunden
picture-when = Wann
picture-figures = Zahlen
picture-fates = Was aus gesendeter Mail wurde
picture-fates-text = Ein Balken, geteilt nach dem, was aus der Mail wurde. Die Zahlen stehen in der Liste darunter.
picture-fates-week = Der letzten sieben Tage, je Empfänger gezählt.
picture-fates-partial = Der letzten sieben Tage; gezählt sind die neuesten 5000.
picture-fates-none = In den letzten sieben Tagen wurde nichts gesendet.
picture-growth = Belegung im Verlauf
picture-growth-text = Von { $first } am { $from } auf { $now } jetzt.
picture-today = jetzt

## Lange Arbeit

course-state = Status
course-begun = Begonnen
course-ended = Beendet
course-running = läuft
course-done = fertig
course-stopped = abgebrochen
course-progress = Bisher
course-running-text = Es läuft. Diese Seite sieht alle zwei Sekunden neu nach; Sie können sie verlassen und wiederkommen.

## Mail aus einem anderen Haus

import-title = Mail importieren
import-this = Eine Maildatei importieren …
import-hint = Mail, die Sie aus einem anderen Programm oder von einem anderen Anbieter als Datei haben, kommt unverändert und in ihrer Reihenfolge in dieses Postfach.
import-lead = Die Nachrichten einer Datei kommen in das Postfach { $name }. Sie werden importiert, während die Datei gesendet wird. Was das Postfach schon hat, wird ausgelassen; dieselbe Datei darf also noch einmal gesendet werden.
import-file = Maildatei
import-file-hint = Eine mbox-Datei, wie sie Thunderbird, Apple Mail und die meisten Anbieter exportieren, oder ein Maildir oder .eml-Dateien, gepackt als .zip, .tar oder .tar.gz. Sie darf beliebig groß sein; es dauert so lange, wie Ihre Leitung braucht.
import-begin = Importieren
import-sending = Die Datei wird gesendet. Andere Seiten können Sie sich in einem weiteren Fenster ansehen.
import-no-file = Bitte wählen Sie eine Datei.
import-no-mbox = Das ist weder eine mbox-Datei (sie beginnt mit „From “) noch ein Archiv (zip, tar, tar.gz).
import-no-mail = In diesem Archiv wurde keine Mail gefunden. Es sollte ein Maildir (Ordner cur und new) oder .eml-Dateien enthalten; ist es am Anfang beschädigt, lässt es sich nicht lesen.
import-broken = Die Verbindung brach ab, bevor die Datei angenommen war. Was in der Liste unten steht, ist importiert; senden Sie dieselbe Datei noch einmal: Es geht dort weiter, wo es aufgehört hat.
import-busy = Gerade werden zu viele Dateien importiert. Von dieser wurde nichts angenommen; bitte senden Sie sie in einigen Minuten noch einmal.
import-busy-customer = Gerade importieren mehrere Ihrer Postfächer Dateien. Von dieser wurde nichts angenommen; senden Sie sie noch einmal, wenn eine davon fertig ist.
import-busy-person = Sie importieren schon zwei Dateien. Von dieser wurde nichts angenommen; senden Sie sie noch einmal, wenn eine davon fertig ist.
import-before = Importe der letzten 30 Tage
import-column-file = Datei
import-column-count = Importiert
import-nameless = eine Datei ohne Namen
import-done-text = Alle Nachrichten der Datei wurden angesehen; die neuen liegen in { $name }.
import-full-text = { $name } ist voll. Was importiert wurde, bleibt. Schaffen Sie Platz oder geben Sie dem Postfach mehr, und senden Sie dieselbe Datei noch einmal: Es geht weiter, wo es aufhörte.
import-stopped-text = Der Import brach vor dem Ende der Datei ab: Die Verbindung riss ab, ein Teil der Plattform war nicht erreichbar, oder das Archiv ist ab dieser Stelle beschädigt. Was importiert wurde, bleibt. Senden Sie dieselbe Datei noch einmal: Es geht weiter, wo es aufhörte.
import-imported = Neue Nachrichten
import-known = Schon vorhanden
import-refused = Abgelehnt
import-message-number = Nachricht { $count } der Datei
import-why-large = größer, als eine Nachricht sein darf
import-why-content = keine Nachricht: Sie enthält Zeichen, die in Mail nicht erlaubt sind
import-why-damaged = im Archiv beschädigt oder auf eine Art gepackt, die hier nicht bekannt ist
import-why-full = das Postfach ist voll
import-to-box = Zum Postfach
import-another = Noch eine Datei importieren

## Die Seite, die ein Abonnement beendet

unsubscribe-title = Abmelden
unsubscribe-ask = Keine Mail der Liste { $list } mehr an { $address }?
unsubscribe-button = Abmelden
unsubscribe-done = Abgemeldet
unsubscribe-done-text = { $address } bekommt keine Mail der Liste { $list } mehr.
unsubscribe-unknown = Dieser Link gilt nicht
unsubscribe-unknown-text = Vielleicht gibt es die Liste nicht mehr, oder der Link ist nicht vollständig.
unsubscribe-no-button = Es wurde nichts geändert
unsubscribe-no-button-text = Bitte benutzen Sie den Knopf der Seite.
unsubscribe-away = Bitte später noch einmal
unsubscribe-away-text = Das lässt sich gerade nicht beantworten. Noch einmal zu versuchen schadet nicht.
