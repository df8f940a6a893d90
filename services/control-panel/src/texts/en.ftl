### What the control panel says in English. Each key is said by a page, and stands in every language.

## The frame of every page

layout-skip = Skip to the content
layout-menu = Menu
layout-guide = Guide
layout-crumbs = Where you are
layout-signed-in-as = Signed in as
layout-sign-out = Sign out
layout-choose-domain = Another domain
layout-all-domains = All domains
layout-zone = Times are in { $zone }.
layout-zone-change = Change
layout-about = Postern, the mail platform
layout-looks-only = For your information: only the owner of the domain can change this.
layout-undo = Undo
layout-paging = Pages
layout-first-page = First page
layout-next-page = Next page
find-field = Begins with
find-search = Search
find-nothing = Nothing found
find-nothing-text = Nothing here begins with “{ $name }”.
tick-all = Tick all shown
tick-none = Tick none
layout-action = Action
layout-used-of = { $used } of { $all }
layout-copy = Copy
layout-copy-this = Copy { $name }
layout-copied = Copied: { $name }

## The first page

front-title = Mail for { $name }
front-lead = Sign in to set up mailboxes, forwards and lists, or set up your mail program.
front-sign-in = Sign in
front-login = Login
front-login-hint = Your customer login, or your whole mail address.
front-password = Password
front-token-title = For operators
front-token = Token
front-token-hint = The operator token, or an API token.
front-token-sign-in = Sign in with a token
front-program = Settings of a mail program
front-session-ended = Your session has ended. Sign in again; what you typed is kept.
front-wrong = Login or password is wrong.
front-suspended = This account is suspended. Please contact your provider.
front-throttled = Too many attempts. Please wait a minute and try again.
front-away = Signing in does not work right now. This is not because of your password; please try again shortly.

## A form that is sent once more

carry-title = Continue where you were
carry-lead = “{ $deed }” was not done, because your session had ended. You are signed in again.
carry-typed = This is what you typed; send it now?
carry-now = Do it now?
carry-not-done = “{ $deed }” was not done, because your session had ended. You can do it again here.
carry-deed-other = What you did last
carry-send = Send it now
carry-drop = Throw it away
carry-away-lead = A part of the platform does not answer, so nobody can say whether this was done. What you typed is kept here: wait a moment and send it again.
carry-busy-lead = Too many requests at once. What you typed is kept here: wait a moment and send it again.
carry-secrets = Passwords and codes are not kept: you are asked for them again.

## Language and time zone

preferences-title = Language and time zone
preferences-language = Language
preferences-zone = Time zone
preferences-zone-hint = Times on all pages are shown in this zone.
preferences-save = Save

## Settings of a mail program

program-incoming = Incoming mail (POP3)
program-outgoing = Outgoing mail (SMTP)
program-server = Server
program-port = Port
program-or-port = or port
program-best = best
program-no-encryption = without encryption
program-user = User name
program-whole-address = your whole address, as in
program-password = Password
program-password-of-box = that of your mailbox (“normal password”)
program-rule = Check your mail before you send
program-rule-text = Nobody may send through this server without having shown who they are. The simplest way: fetch your mail first. Then your connection may send for { $time }, and each time you fetch mail the time begins anew.
program-login = Log in to send
program-login-text = In the mail program, switch on authentication for the outgoing server { $name } (“SMTP authentication”), with the same user name and password. For this domain it is not enough to check mail first.
program-rule-auth = If your program can log in for sending too (“SMTP authentication”, same name and password), switch that on: then the order does not matter.
span-minutes = { $count ->
        [one] 1 minute
       *[other] { $count } minutes
    }
span-seconds = { $count ->
        [one] 1 second
       *[other] { $count } seconds
    }

## Times

moment-today = today, { $time }
moment-yesterday = yesterday, { $time }
moment-tomorrow = tomorrow, { $time }

## What can go wrong

failure-home = To the first page
failure-not-found = There is no such page
failure-not-found-text = Nothing is here, or it is not yours. It may have been removed meanwhile.
failure-not-permitted = This is not for you
failure-not-permitted-text = Your login may not do this.
failure-changed = This was changed meanwhile
failure-changed-text = Since you opened the page this was changed: by somebody else, in another window, or by the same form sent twice. Go back, load the page again and look at it once more.
failure-busy = Too much at once
failure-busy-text = Too many requests at once. Please wait a moment and try again.
failure-away = This does not work right now
failure-away-text = A part of the platform does not answer. Please try again shortly. If you have just changed something, look whether it was saved.
failure-foreign-form = This form was not taken
failure-foreign-form-text = It was not sent by a page of this panel, or is of an older session. Nothing was changed. Open the page again and repeat what you did.
failure-bad-form = This form cannot be read
failure-bad-form-text = It is not complete, or took too long. Nothing was changed.
failure-too-large = This form is too large
failure-too-large-text = So much is not taken at once, or your session has ended and so much cannot be kept until you are signed in again. Nothing was changed. Send it in parts.
failure-needs-tls = Please come by a secure connection
failure-needs-tls-text = A password is taken over a secure connection (https) only.
failure-session-ended = Your session has ended
failure-refused = That was not possible

## Forms

form-save = Save
form-cancel = Cancel
form-see-below = Something is not right yet: see the marked fields.
form-away = A part of the platform does not answer, so nobody can say whether this was saved. Wait a moment and save again.
form-changed = Somebody changed this while you were typing. Nothing was saved: compare with what is there now, and save again if yours is right.
form-of-line = “{ $line }”: { $why }
form-now = There is now:

## What services say of a field

wording-missing = Please fill this in.
wording-no-address = An address has the form name@domain.
wording-bad-character = There is a character in it that is not allowed in an address.
wording-bad-dot = There is a dot at a wrong place.
wording-no-domain = This is no domain name.
wording-address-too-long = Too long: at most 64 characters before the @, 254 in all.
wording-too-short = Too short: at least { $a } characters.
wording-too-long = Too long: at most { $a } characters.
wording-too-many = Too many: at most { $a }.
wording-control-characters = There is an invisible character in it that is not allowed.
wording-target-needed = Please name at least one address.
wording-twice = { $a } is there twice.
wording-reserved = Names that begin like this are reserved for the platform.
wording-end-before-start = The end must be after the start.
wording-is-mailbox = { $a } is a POP account already.
wording-is-forward = { $a } is a forward already.
wording-is-list = { $a } is a mailing list already.
wording-is-autoresponder = { $a } is an autoresponder already.
wording-all-members = All of them are members of { $a } already.
wording-is-command = { $a } is an address of the mailing list { $b } itself.
wording-domain-there = { $a } is hosted here already.
wording-ring = This would lead back to itself: { $a }
wording-no-box-for-copy = There is no POP account { $a } that could keep a copy.
wording-spam-box-needed = Say which mailbox spam is put into.
wording-no-such-box = { $b } is none of your POP accounts.
wording-limit = Your plan allows { $b } of these, and you have { $d }. Remove some, or ask your provider for more.
wording-customer-login = A customer login has 1 to 8 characters, of a to z and 0 to 9 only.
wording-login-reserved = This login is kept for the platform itself.
wording-login-given = The login { $a } belongs to a customer, or did once; a login is never given a second time.
wording-app-passwords = { $a } has { $b } app passwords, and more are not possible: remove one that is not used any more.
wording-app-name = Please say what it is for, in at most { $a } characters.
wording-many-addresses = With all the forwards and lists it leads to, it would reach more than { $a } addresses.
wording-list-long = A mailing list has at most { $a } characters before the @: its commands are put behind them.
wording-list-ascii = Before the @ of a mailing list there are only letters a to z, digits and . - _, without umlauts and quotes.
wording-list-plus = A mailing list has no + before the @.
wording-brace = Braces stand only around words that are filled in: {"{"}sender{"}"}, {"{"}subject{"}"} and {"{"}date{"}"}. To write a brace itself, write it twice.
wording-interval = From one hour to one year.
wording-grant = Not possible here: see below.
wording-box-bound = That is more than one mailbox may hold: ask your provider for more.
wording-codes = Too many codes were wrong: wait { $a } minutes.
wording-rewritten = { $a } has the form of an address that the platform makes when it forwards mail.
wording-list-would-own = { $a } is there already, and would be an address of the list { $c } itself: remove it first.
wording-second-name = { $a } is a second name of { $b }: set everything there.
wording-second-names = { $a } has second names: remove them first ({ $b }).
wording-no-removal = Nothing was removed there that could come back.
wording-days-over = { $c } was removed more than { $a } days ago and cannot come back any more.
wording-mail-gone = { $a } was removed more than { $b } days ago: its mail is gone.
wording-list-gone = The mailing list { $a } cannot come back any more.
wording-domain-others = { $a } belongs to another customer now.
wording-domain-gone = { $a } is not here any more: add the domain first.
wording-default-box-was = { $a } was the default mailbox of { $b }, which has another one now.
wording-default-box-stays = { $a } is the default mailbox of { $b }: it can be removed only together with the domain.
wording-default-box-password = { $a } is the default mailbox of { $b }: its password is that of the customer login.
wording-dns-no-answer = DNS did not answer: try again in a few minutes. Nothing was changed.
wording-dns-spf-missing = Add this TXT record to { $a }, so that others believe mail that this platform sends for it.
wording-dns-spf-add = The SPF record of { $a } does not let this platform send: add { $b } to it.
wording-dns-spf-many = { $a } has more than one SPF record, and so none of them counts: leave one.
wording-dns-servers = Set these name servers where { $a } is registered, or set the MX below.
wording-dns-servers-spare = Not needed, since the MX of { $a } leads here; only if this platform is to serve all of its DNS.
wording-dns-mx-zone = The name servers of { $a } are ours already; mail comes here only with this MX in its zone.
wording-dns-mx = Set this MX in the DNS of { $a }; without it the world’s mail for { $b } does not come here.
wording-dns-claim = More than one customer asked for { $a }, or it had another owner here: add this TXT record at { $b } to show that it is yours.
wording-dns-host-remove = Remove this record: the platform has no address of this kind, and mail programs that try it at { $a } wait in vain.
wording-dns-host = Set { $a } to the addresses expected: mail programs look for the platform there.
wording-dns-key = Add this TXT record at { $a }: it shows the key that the domain’s mail is signed with.
wording-dns-key-next = Add this TXT record at { $a } and leave the other one: it shows the next key; mail is signed with it once DNS shows it.
wording-dns-key-ended = Leave this TXT record at { $a } for some days more: mail that was signed with this key is still under way.
wording-dns-dmarc-many = { $a } has more than one DMARC record, and so none of them counts: leave one.
wording-dns-dmarc = Add this TXT record at { $a }; others are to know what to do with mail that is not really from the domain.

## Domains

domains-title = Your domains
domains-lead = Choose the domain that you want to work on.
domains-none = No domain yet
domains-none-text = Mailboxes, forwards and lists belong to a domain. Your provider adds the first one.
domains-none-staff = Create a customer and a domain first.
domains-staff-lead = Every domain of this platform and whose it is.

## POP accounts

pop-title = POP accounts
pop-lead = The mailboxes of { $name }: each has a login, a password and space of its own.
pop-new = New POP account
pop-new-lead = A new mailbox at { $name }. It takes mail as soon as you press the button.
pop-create = Create POP account
pop-empty = No POP account yet
pop-empty-text = A POP account is a mailbox with a login of its own: somebody@{ $name }. Until you create one, the default mailbox takes all mail.
pop-column-login = Login
pop-column-name = Name
pop-column-use = Space used
pop-column-state = State
pop-column-removed = Removed
pop-column-until = Can be restored until
pop-default-box = Default mailbox
pop-state-active = active
pop-state-full = full
pop-state-suspended = suspended
pop-field-address = Address
pop-field-address-hint = The part before the @, such as anna or first.last.
pop-field-name = Name
pop-field-name-hint = For you, to know whose mailbox it is. May stay empty.
pop-field-password = Password
pop-field-password-hint = At least 8 characters. Longer is better: three or four words.
pop-field-password-again = Password once more
pop-field-quota = Size
pop-field-megabytes = Own size
pop-field-megabytes-hint = Only with “a size of its own”.
pop-quota-plan = as your plan says
pop-quota-own = a size of its own
pop-quota-none = no limit of its own
pop-quota-contradiction = Here is a size of its own: choose “a size of its own” beside it, or leave this empty.
pop-quota-wrong = Please give a whole number of megabytes, 1 or more.
pop-password-differs = The two passwords are not the same.
pop-created = { $name } was created and takes mail now.
pop-changed = { $name } was changed.
pop-password-changed = { $name } has a new password now. Computers that sent with the old one must check their mail again.
pop-facts = At a glance
pop-messages = Messages
pop-message-count = { $count ->
        [one] 1 message
       *[other] { $count } messages
    }
pop-newest = Newest message
pop-created-at = Created
pop-unknown-now = not known right now
pop-settings = Name and size
pop-password = Password
pop-set-password = Set password
pop-lock = Who has the mailbox open
pop-lock-free = Nobody. A mail program can log in.
pop-lock-held = One mail program at a time can use a mailbox. This one has it now:
pop-lock-from = Computer
pop-lock-since = Since
pop-release = End that session
pop-released = That session was ended. The mailbox { $name } is free.
pop-grants = Who may send without a password
pop-grants-login = Nobody: mail programs of this domain must log in for sending.
pop-grants-none = No computer has checked this mailbox lately.
pop-grant = { $client } may send until { $time }
pop-revoke = Revoke
pop-revoked = { $name } may not send any more until it checks its mail again.
pop-clear = Empty the mailbox
pop-clear-hint = What is taken out can be brought back for 30 days unless your provider has set another time.
pop-clear-this = Empty this mailbox …
pop-clear-ask = Take the messages out of the mailbox { $name }?
pop-clear-all = Take out all messages
pop-clear-damaged = Only damaged ones
pop-cleared = Taken out: { $count }.
pop-clearing-stopped = It stopped early, because a part of the platform did not answer. What was taken out can be brought back; begin again for the rest.
pop-clearing-looked-at = Looked at
pop-clearing-taken = Taken out
pop-bring-back = Bring back
pop-brought-back = Back in the mailbox: { $count }.
pop-remove = Remove this account
pop-remove-hint = Mail to it is refused from then on, or goes to the default address. What it holds is kept for 30 days unless your provider has set another time, and comes back with “Undo” or “Restore”.
pop-remove-ask = Really remove { $name }?
pop-remove-this = Remove account
pop-removed = Removed accounts
pop-removed-text = These can still be restored with all their mail.
pop-removed-more = More removed accounts
pop-removed-said = { $name } was removed.
pop-removed-said-referred = { $name } was removed. These still point to it: { $names }.
pop-restore = Restore
pop-restored = { $name } is back, with its mail and its password.
pop-restored-without = { $name } is back, with its mail and its password, but without: { $names }. As a rule your plan has no room for them: make room, then press Undo at their line in Activity.
pop-restored-not = { $name } did not come back: it is back already, or the days in which it could be are over.
pop-merge = Whose mail is it?
pop-merge-ask = { $name } has a new mailbox since the old one was removed. If you go on, all mail of the old mailbox is put into the new one: whoever has the new mailbox now can read it, and it cannot be taken out again.
pop-merge-new-since = The new mailbox is there since
pop-merge-hint = Until you go on, nothing is changed, and the old mailbox can still be restored. To get the old mailbox itself back, with its password, remove the new one first.
pop-merge-this = Put the old mail into the new mailbox
pop-merged = { $name } has a new mailbox meanwhile; the old mail was added to it.
pop-guide = A POP account is a mailbox at { $name } with a login and a password of its own.
pop-guide-login = Login
pop-guide-login-text = The whole address, as in anna@{ $name }. The default mailbox has your customer login.
pop-guide-server = Server
pop-guide-server-text = Mail programs fetch and send through { $name }.
pop-guide-send = Sending
pop-guide-send-text = After checking its mail, a computer may send for { $time }, without a password for sending.
pop-guide-use = Space used
pop-guide-use-text = How much of its space a mailbox has used. Mail to a full mailbox waits at the sender’s server, which tries again.
pop-guide-remove = Removing
pop-guide-remove-text = A removed account can be restored with its mail for the time that is shown.
reference-forward = forward { $name }
reference-list-member = list { $name } (member)
reference-list-owner = list { $name } (owner)
reference-default-address = default address of { $name }
reference-autoresponder = autoresponder { $name }
reference-other = { $name }

## Forwards

forward-title = Forwards
forward-lead = A forward takes mail for one address and hands it on to others.
forward-new = New forward
forward-create = Create forward
forward-empty = No forward yet
forward-empty-text = A forward hands mail on: info@{ $name } to the people who answer it, inside or outside.
forward-more = { $count ->
        [one] and 1 more
       *[other] and { $count } more
    }
forward-column-address = Address
forward-column-targets = Leads to
forward-column-kind = Kind
forward-column-changed = Changed
forward-kind-alias = alias
forward-kind-forward = forward
forward-kind-copy = keeps a copy
forward-field-address = Address that is forwarded
forward-field-address-hint = The part before the @, such as info or sales.
forward-field-targets = Leads to
forward-field-targets-hint = One address a line, inside or outside, at most 100.
forward-field-copy = Keep a copy in the mailbox of this address
forward-field-copy-hint = Only when there is a POP account of the same address.
forward-created = { $name } is forwarded from now on.
forward-changed = { $name } was changed.
forward-remove = Remove this forward
forward-remove-hint = Mail to it then goes to the POP account of the same address, if there is one, else to the default address.
forward-remove-this = Remove forward
forward-removed = The forward { $name } was removed.
forward-restored = The forward { $name } is back.
forward-guide = A forward takes mail for an address of { $name } and hands it on. It needs no password and holds no mail.
forward-guide-alias = All targets are addresses of your own, as in sales@{ $name } to anna@{ $name }: another name for a mailbox.
forward-guide-forward = A target is elsewhere: mail for info@{ $name } leaves the platform.
forward-guide-copy = The POP account of the same address gets the mail, too.
forward-guide-ring = Rings
forward-guide-ring-text = A forward that would lead back to itself is not taken; the way is shown.

## Home

home-title = Home
home-heading = { $name } at a glance
home-all-well = All is well: { $name } is in service, and nothing needs your attention.
home-needs = Needs your attention
home-not-live = { $name } is not in service yet: its DNS does not lead here. Mail from elsewhere does not arrive.
home-lost = { $name } is out of service: DNS leads elsewhere. Mail from elsewhere does not arrive.
home-grace = DNS no longer leads { $name } here. It is served on until { $time }.
home-records = In the DNS of { $name } these records are missing or differ: { $records }.
home-claim = { $name } needs the TXT record { $record }, which proves that it is yours.
home-full = The mailbox { $name } is full; mail to it waits at the senders’ servers.
home-suspended = { $name } is suspended: nobody can log in there.
home-nearly-full = The mailbox { $name } is nearly full: { $used } of { $all }.
home-full-more = { $count ->
    [one] One more mailbox is full, or nearly so.
   *[other] { $count } more mailboxes are full, or nearly so.
 }
home-suspended-more = { $count ->
    [one] One more mailbox is suspended.
   *[other] { $count } more mailboxes are suspended.
 }
home-refused = Mail from { $sender } to { $recipient } was refused ({ $time }).
home-refused-automatic = An automatic answer or report to { $recipient } was refused ({ $time }).
home-late = Mail to { $name } could not leave yet.
home-late-more = { $count ->
    [one] One more message could not leave yet.
   *[other] { $count } more messages could not leave yet.
 }
home-member = { $member } gets nothing from the list { $list } since { $time }: mail to this member came back.
home-member-more = { $count ->
    [one] One more member of a list gets nothing, because copies came back.
   *[other] { $count } more members of lists get nothing, because copies came back.
 }
home-look = Have a look
home-of = of { $all }
home-all-domains = The numbers are those of all your domains together.
home-storage = of mail
home-fullest = Largest mailboxes
home-fullest-none = All mailboxes are empty.
home-lately = Lately
home-lately-none = Nothing is recorded lately. Who changes something, and when, will be shown here.
home-all-activity = All activity
home-own-box = Open my mailbox
home-guide = Here you see whether { $name } works, and what to do when it does not.
home-guide-server = Mail server
home-guide-server-text = Every mail program of this domain uses { $name } for fetching and for sending.
home-guide-panel = This panel
home-guide-panel-text = Also at this address:
home-guide-order = Live at once
home-guide-order-text = What you change here holds within a second, for new and open connections.

## Mailing lists

list-title = Mailing lists
list-lead = A mailing list hands each mail on to all its members.
list-new = New mailing list
list-create = Create mailing list
list-empty = No mailing list yet
list-empty-text = One mail to staff@{ $name } reaches all members of the list. Members join and leave by mail, or you enter them here.
list-column-address = List
list-column-member = Member
list-column-origin = How added
list-column-since = Since
list-column-posts = Posts
list-posts-sent = gets them
list-posts-suspended = gets none
list-posts-why = Mail came back; since
list-posts-resume = Send again
list-posts-resumed = { $name } gets posts of this list again.
list-members = Members
list-member-count = { $count ->
        [one] 1 member
       *[other] { $count } members
    }
list-no-members = No members yet
list-no-members-text = Enter addresses above, one a line, or let people join by mail.
list-served-elsewhere = served elsewhere
list-settings = Settings of the list
list-field-address = Address of the list
list-field-address-hint = The part before the @, at most 48 characters, such as staff or news.
list-field-description = Description
list-field-description-hint = What the list is about, for its members.
list-field-posting = Who may post
list-posting-members = Members
list-posting-members-text = whoever is on the list, by sender address
list-posting-anyone = Anybody
list-posting-anyone-text = also people outside; expect spam
list-posting-owner = Only the owner
list-posting-owner-text = for newsletters
list-field-replies = Where replies go
list-replies-author = To the author
list-replies-author-text = a reply reaches one person
list-replies-list = To the list
list-replies-list-text = a reply reaches everybody
list-field-prefix = Before the subject
list-field-prefix-hint = As in [staff]. At most 40 characters; may stay empty.
list-field-owner = Owner
list-field-owner-hint = Gets questions about the list and may always post. Empty: postmaster@{ $name }.
list-field-largest = Largest post
list-field-largest-hint = Empty: what the platform takes.
list-field-listserv = List server elsewhere
list-field-listserv-hint = Usually empty. An address of another list server: mail to the list, to its -subscribe and to its -unsubscribe address then goes there, and the members here get nothing.
list-largest-wrong = Please give a whole number of kilobytes, 1 or more.
list-created = The list { $name } was created. Now enter its members.
list-created-with = The list { $name } was created.
list-changed = { $name } was changed.
list-removed = The list { $name } was removed.
list-removed-referred = The list { $name } was removed. These still lead to it: { $names }.
list-restored = The list { $name } is back, with its members.
list-remove = Remove this list
list-remove-this = Remove list
list-remove-hint = Mail to it then goes to the default address. A removed list comes back with its members by “Undo”.
list-remove-ask = Really remove the list { $name }?
list-remove-members = { $count ->
        [one] It has 1 member.
       *[other] It has { $count } members.
    }
list-add-members = Add members
list-field-members = Addresses
list-field-members-hint = One a line, up to 10,000 at once. Each line is reported on; a wrong one does not stop the others.
list-field-members-new-hint = One address a line, up to 10,000. May stay empty: members can be entered and join at any time.
list-too-many-lines = More than 10,000 lines: please add them in parts.
list-none-ticked = No member was ticked.
list-remove-ticked = Remove ticked members
list-members-removed = Removed from the list: { $count }.
list-members-back = Back on the list: { $count }.
list-origin-added = entered here
list-origin-subscribed = joined by mail
list-report = { $added } added, { $known } already there, { $wrong } not taken.
list-adding-stopped = It stopped early, because a part of the platform did not answer. Send all lines again: who is a member already is left out.
list-to-list = To the list
list-report-lines = Lines that were not added
list-line-over-limit = your plan allows no more members
list-guide = A list at { $name } hands each post on to its members, and keeps nothing.
list-guide-commands = By mail
list-guide-commands-text = A mail to one of the addresses of a list, here of { $name }:
list-guide-example = staff
list-guide-joins = joins
list-guide-leaves = leaves
list-guide-owner = reaches the owner
list-guide-posting = By the sender address of the mail; the owner may always.
list-guide-replies = Whom a press on “reply” reaches.
list-guide-leaving = Leaving
list-guide-leaving-text = Every post says how to leave. Nobody is put on a list by a stranger’s mail: { $name } asks first.
list-guide-listserv = For lists that are run by another server: everything for the list goes there.

## Autoresponders

answer-title = Autoresponders
answer-lead = An autoresponder answers by itself, as when somebody is away.
answer-new = New autoresponder
answer-create = Create autoresponder
answer-empty = No autoresponder yet
answer-empty-text = Away for a week, or an address that only informs: info@{ $name } can answer by itself.
answer-column-address = Address
answer-column-until = Until
answer-column-state = State
answer-no-end = without an end
answer-state-answers = answers
answer-state-waits = not yet
answer-state-over = over
answer-field-address = Address that answers
answer-field-address-hint = The part before the @: that of a POP account or forward, or one of its own.
answer-field-subject = Subject of the answer
answer-field-subject-hint = As in: Away until Monday
answer-field-text = Text of the answer
answer-field-text-hint = Plain text. The guide names the words that are filled in.
answer-field-start = Answers from
answer-field-start-hint = Empty: at once.
answer-field-end = Answers until
answer-field-zone-hint = Empty: without an end. Both in { $name }.
answer-field-interval = Interval
answer-field-interval-hint = The same sender gets at most one answer in this time.
answer-interval-hour = one hour
answer-interval-day = one day
answer-interval-days = three days
answer-interval-week = one week
answer-interval-month = 30 days
answer-interval-hours = { $count ->
        [one] one hour
       *[other] { $count } hours
    }
answer-moment-wrong = Please give a day and time, as in 2026-12-24T18:00.
answer-there-already = { $name } has an autoresponder already: change that one.
answer-created = { $name } answers by itself now.
answer-changed = The autoresponder of { $name } was changed.
answer-removed = The autoresponder of { $name } was removed.
answer-restored = The autoresponder of { $name } is back.
answer-remove = Remove this autoresponder
answer-remove-hint = Mail goes on as before, without an answer.
answer-remove-this = Remove autoresponder
answer-guide = An autoresponder at { $name } answers by itself, with the text that you give it, and each sender only once in a while.
answer-guide-alone = Beside a mailbox, or alone
answer-guide-alone-text = At the address of a POP account the mail is kept as well. Alone, as info@{ $name }, it answers and keeps nothing.
answer-guide-once = Never twice
answer-guide-once-text = Lists, other autoresponders and bounces get no answer, and nobody gets two within the interval.
answer-guide-words = Words that are filled in
answer-guide-sender = who wrote
answer-guide-subject = the subject of that mail
answer-guide-date = the day

## Default address

default-title = Default address
default-lead = What becomes of mail for names at { $name } that do not exist.
default-field-action = Mail for unknown names
default-box = Default mailbox
default-box-text = It is kept in the mailbox that opens with your customer login.
default-box-login = Its login is { $name }, with your own password.
default-box-open = Open its page
default-address = To an address
default-address-text = It goes on to the address below.
default-reject = Refuse it
default-reject-text = The sender is told at once that there is nobody of this name. Keeps most spam out.
default-discard = Throw it away
default-discard-text = It is taken and thrown away, and nobody is told.
default-field-target = Address
default-field-target-hint = Only with “to an address”: inside or outside.
default-target-unused = Mail goes there with “To an address” only: choose that, or leave this empty.
default-changed = The default address of { $name } was changed.
default-guide = It takes what nothing else at { $name } takes: mistyped names, and names that never were.
default-guide-order = Who comes first
default-guide-order-text = POP accounts, forwards, lists and autoresponders always win, whenever they were created.
default-guide-postmaster = Postmaster
default-guide-postmaster-text = postmaster@{ $name } and abuse@{ $name } reach the default mailbox in any case: the rules of mail want it.
default-guide-spam = Spam
default-guide-spam-text = Senders of spam guess names. “Refuse it” keeps that out.

## Domain & DNS

domain-title = Domain & DNS
domain-state-live = in service
domain-state-live-text = Mail is accepted, and DNS leads here.
domain-state-live-by-operator = Mail is accepted. The operator put the domain into service; DNS need not lead here yet.
domain-state-pending = waiting for DNS
domain-state-pending-text = DNS does not lead here yet. Senders are asked to try again later; nothing is lost meanwhile.
domain-state-lost = not in service
domain-state-lost-text = DNS has led elsewhere for too long. Set the records and check again.
domain-state-leaving = DNS leads elsewhere
domain-state-leaving-text = Mail is still accepted, but DNS no longer leads here. Set the records back, or the domain goes out of service.
domain-state-claimed = claimed
domain-state-claimed-text = Another customer has this name. Set the record below to prove that it is yours; then it is moved to you.
domain-second-name = Second name of
domain-owner = Owner
domain-checked = Last checked
domain-never = never
domain-grace = Goes out of service
domain-claim = This record is needed to prove whose the domain is:
domain-verify = Check DNS now
domain-rules = Rules for sending
domain-field-senders = Who may send in its name
domain-senders-owner = Only my own mailboxes
domain-senders-owner-text = the usual choice
domain-senders-named = My own mailboxes and named customers
domain-senders-named-text = for a partner on this platform
domain-senders-anyone = Everybody on this platform
domain-senders-anyone-text = no protection of the name
domain-field-named = Named customers
domain-field-named-hint = Their customer logins, one a line.
domain-senders-missing = Please name at least one customer.
domain-senders-unused = They may send with “My own mailboxes and named customers” only: choose that, or leave this empty.
domain-field-grant = May send after checking mail for
domain-field-grant-hint = 5 to 60. Empty: { $time }, as everywhere on this platform.
domain-minutes = minutes
domain-grant-wrong = Please give a whole number of minutes, 5 to 60.
domain-field-auth-only = Sending with a password only
domain-field-auth-only-hint = Checking mail first then lets nobody send; mail programs must log in for sending.
domain-field-plaintext = Take passwords without encryption
domain-field-plaintext-hint = Usually off: a mail program must then log in with SSL/TLS or STARTTLS. Tick it only for very old programs that can do neither. Their passwords and mail travel in clear text, and whoever listens on the way can read them. Works where your provider allows it.
domain-incoming = Incoming mail
domain-field-spam = Mail that looks like spam
domain-spam-mark = Deliver it, marked
domain-spam-mark-text = the usual choice: mail programs can sort it by its mark (X-Spam-Flag)
domain-spam-follow = Refuse what is certainly spam
domain-spam-follow-text = where it is doubtful, the sender is asked to try again later; the rest is delivered, marked
domain-spam-quarantine = Put it into a mailbox for spam
domain-spam-quarantine-text = nothing is refused, and you can check for mail that was taken for spam by mistake
domain-spam-off = Do not scan
domain-spam-off-text = mail comes as it is
domain-field-spam-mailbox = Mailbox for spam
domain-field-spam-mailbox-hint = Address of one of your POP accounts. While it is full, spam is put off.
domain-spam-mailbox-unused = Spam goes there with “Put it into a mailbox for spam” only: choose that, or leave this empty.
domain-field-dmarc = Refuse forgeries
domain-field-dmarc-hint = Mail that is not from its author is refused where the author’s domain asks for it (DMARC).
domain-changed = The rules of { $name } were changed.
domain-more = More domains
domain-more-text = One customer may have several domains, or several names for one.
domain-add = Add a domain
domain-new-lead = Add a domain that you own. It comes into service as soon as its DNS leads here.
domain-field-name = Domain
domain-field-name-hint = As in example.com, without www and without mail.
domain-field-alias = Only a second name for { $name }
domain-field-alias-hint = The same mailboxes, forwards and lists are then reached under both names.
domain-created = { $name } was added. Now its DNS must lead here.
domain-removed = { $name } was removed, with its mailboxes and forwards.
domain-remove-this = Remove this domain
domain-remove-ask = With { $name } all its mailboxes, forwards, lists and autoresponders are removed. Mail to it is refused from then on. If the domain is added here again in time, its mailboxes stand under “Removed accounts”, and the rest can be brought back under “Activity”.
domain-remove-confirm = Type { $name } to confirm
domain-remove-differs = This is not { $name }.
domain-guide = DNS tells the world where mail for { $name } goes. Ask whoever keeps your DNS to set what is shown here.
domain-guide-mx = They lead mail for { $name } here. One of the two is enough: our name servers, or our mail host as MX.
domain-guide-host = Lets mail programs find { $name }.
domain-guide-spf = They say that this platform may send for { $name }. Without them mail is often taken for spam.
domain-guide-senders = Keeps other customers from sending as anybody@{ $name }.
dns-title = What the world sees
dns-good = good
dns-missing = missing
dns-different = different
dns-spare = not needed
dns-no-answer = no answer
dns-found = Found
dns-nothing = nothing
dns-expected = Expected
dns-ttl = { $count ->
        [one] After a change it may take up to 1 minute until everybody sees it.
       *[other] After a change it may take up to { $count } minutes until everybody sees it.
    }
dns-delegation = Name servers
dns-mx = Mail exchanger
dns-mail-host = Mail host
dns-spf = Permission to send (SPF)
dns-dkim = Signature key (DKIM)
dns-dmarc = What to do with forgeries (DMARC)
dns-claim = Proof of ownership
dns-other = Record

## Activity

activity-title = Activity
activity-lead = Who changed what, when, and from where.
activity-empty = Nothing here
activity-empty-text = Nothing is recorded that fits this search.
activity-any = any
activity-kind = Kind
activity-action = Action
activity-name = Name
activity-from = From
activity-to = To
activity-day-wrong = Please give a day, as in 2026-12-24.
activity-filter = Show
activity-all = Show all
activity-undone = { $name } is back as it was.
activity-kind-customer = customer
activity-kind-mailbox = POP account
activity-kind-forward = forward
activity-kind-list = list
activity-kind-list-member = list members
activity-kind-autoresponder = autoresponder
activity-kind-default-address = default address
activity-kind-domain = domain
activity-kind-app-password = app password
activity-kind-api-token = API token
activity-kind-lock = session
activity-kind-box = mailbox
activity-kind-grant = permission to send
activity-action-create = was created
activity-action-update = was changed
activity-action-delete = was removed
activity-action-restore = was brought back
activity-action-set-password = got a new password
activity-action-verify = was checked
activity-action-release = was freed
activity-action-clear = was emptied
activity-action-import = got mail from a file
activity-action-merge = got the mail of a removed mailbox
activity-action-revoke = was revoked
activity-kind-second-factor = second factor
activity-kind-panel-session = sign-in
activity-action-end = was signed out
activity-action-recovery-code = used a recovery code
activity-action-refused = had too many wrong codes
activity-field-targets = Leads to
activity-field-expires = Good until
activity-field-role = For
activity-field-scopes = May do
activity-value-usual = as everywhere on this platform
activity-field-copy = Copy stays
activity-yes = yes
activity-no = no
activity-kind-limits = limits
activity-kind-sending-limit = sending limit
activity-kind-queue-entry = waiting mail
activity-members-create = got new members
activity-members-delete = lost members
activity-action-unsubscribe = was left by a member
activity-action-suspend = sends no more to a member whose mail came back
activity-action-reached = is used up for now
activity-action-retry = is tried again at once
activity-action-hold = was put on hold
activity-action-remove = went back to its sender
activity-action-remove-silently = was removed without a word to its sender
activity-role-service = the platform
activity-role-operator = operator
activity-role-support = support
activity-role-customer = customer
activity-role-mailbox = mailbox user
activity-guide = Every change to { $name } and your other domains is written down here, whoever made it: you, an operator or a tool.
activity-guide-who = Who
activity-guide-who-text = The login or tool, and the address of the computer it came from.
activity-guide-undo-text = Brings back what was removed, as it was. Mailboxes come back with their mail for as long as it is kept.
activity-guide-secrets = No secrets
activity-guide-secrets-text = Passwords and mail are never written down.

## The own password

password-title = Change my password
password-lead = The password of your customer login. It also opens the default mailbox of each of your domains.
password-current = Current password
password-current-wrong = This is not your current password.
password-current-missing = Type your current password, too.
password-current-later = Too many wrong passwords were tried for this mailbox, perhaps by a mail program that still has an old one. Stop it, wait a few minutes, and try again.
password-new = New password
password-changed = Your password was changed. Sign in with the new one.

## Trouble?

trouble-title = Trouble?
trouble-lead = What is it that does not work? Each question is asked of the very parts that decide it, and nothing is changed by asking.
trouble-send = I can’t send mail
trouble-send-lead = The server refuses what you send, or your program does not reach it.
trouble-lock = Can’t lock account
trouble-lock-lead = Another mail program has the mailbox open.
trouble-login = Any username and password error
trouble-login-lead = The server does not take the user name or the password.
trouble-host = Problems resolving your mailhost
trouble-host-lead = The mail program does not find the server.
trouble-field-mailbox = Mailbox
trouble-field-login = User name
trouble-field-login-hint = Exactly as it stands in the mail program.
trouble-field-recipient = To whom
trouble-field-recipient-hint = The address that you want to write to. Empty: anybody outside.
trouble-field-client = Address of the computer
trouble-field-client-hint = The one that you are at now is filled in already.
trouble-field-logs-in = The mail program logs in for sending
trouble-field-logs-in-hint = “SMTP authentication”, “my server requires authentication”.
trouble-ask = Find out why
trouble-ask-host = Ask DNS now
trouble-works = It works.
trouble-later = It does not work right now.
trouble-refused = It does not work.
trouble-works-send = This mail would be taken. If your program still cannot send, compare its settings with those under “Mail programs”: the server is { $name }.
trouble-works-lock = Nobody has the mailbox open: a mail program can log in at { $name }.
trouble-works-login = With the right password this login works at { $name }. If the mail program still says that something is wrong, set a new password here and type the same one there.
trouble-works-host = Mail programs find the server { $name }. If one does not, compare the name of the server letter by letter.
trouble-next-wait = Too many wrong passwords were tried. Correct the password in every mail program first, then wait { $time } and try again.
trouble-next-login-form = This cannot be a user name. Type it as it was given to you: usually your whole mail address.
trouble-next-login-known = There is no such user name. Check how it is spelled. That of a mailbox is its whole address; a forward has none.
trouble-next-domain-live = The domain is not in service yet: DNS does not lead here. Until it does, none of its logins works.
trouble-next-not-suspended = This account is suspended. Only the provider can end that.
trouble-next-lock-free = One mail program at a time can use a mailbox. Close the other one, or end its session here.
trouble-next-may-relay = This computer has not checked its mail lately. Fetch mail at { $name } first, then send again; or switch on authentication for the outgoing server, then the order does not matter.
trouble-next-sender-permitted = The sender address belongs to another customer. Use one of your own, or ask its owner to allow you.
trouble-next-budget-left = The sending limit of this hour is reached. Wait until the next hour, or ask the provider for a higher limit.
trouble-next-logs-in = From here it is not enough to check mail first. Switch on authentication for the outgoing server { $name }, with the same user name and password.
trouble-next-client-seen = Nothing that this computer sends arrives at { $name }. Most likely your internet provider blocks port 25: use the port of the set-up page for sending.
trouble-wire = What the servers say, to the letter
trouble-wire-none = Nothing: until this is fixed, no server is asked.
trouble-rules = What was looked at
trouble-rule-passed = good
trouble-rule-stopped = not good
trouble-rule-no-obstacle = no obstacle
trouble-rule-login-form = Can a user name look like this?
trouble-rule-login-known = Is there such a user name?
trouble-rule-may-try-now = Few wrong passwords lately?
trouble-rule-domain-known = Is the domain hosted here?
trouble-rule-domain-live = Is the domain in service?
trouble-rule-not-suspended = Is the account not suspended?
trouble-rule-lock-free = Is the mailbox free?
trouble-rule-recipient-place = Can the recipient be reached?
trouble-rule-may-relay = May this computer send?
trouble-rule-sender-permitted = May this sender be used?
trouble-rule-budget-left = Is something left of the hour’s limit?
trouble-rule-own-address = Is the computer’s address its own?
trouble-rule-grants-allowed = Is checking mail first enough?
trouble-rule-client-seen = Does mail from this computer arrive?
trouble-rule-dns-asked = Was DNS asked?
trouble-mend = Fix it
trouble-mend-set-up = Show the settings for sending
trouble-mend-records = Mail comes in, but not all records are as they should be: others may doubt your mail.
trouble-mend-resume = End the suspension
trouble-mend-owner = The owner of the domain can fix this in “Domain & DNS”.
trouble-mend-default-box = The default mailbox has the password of its customer, who sets it.
trouble-mend-login = Type the user name again, letter by letter, as it was given to you.
trouble-mend-new-box = Create the mailbox { $name } now:
trouble-mend-recipient = Only the owner of that address can fix this. Check how it is spelled.
trouble-mend-full = Open the full mailbox
trouble-resumed = { $name } is active again.
trouble-guide = Four things go wrong with mail programs. Here you learn why, for { $name } and the computer you are at, and usually you can fix it at once.
trouble-guide-send = Fetch mail at { $name } first; then you may send for { $time }.
trouble-guide-lock = The mailbox is open in another program. A program that crashed frees it after a minute; the button does so at once.
trouble-guide-login = The user name is the whole address, as in anna@{ $name }. Passwords are never shown, only set anew.
trouble-guide-host = Mail programs must find { $name }. DNS decides whether they do.

## Mail programs

setup-title = Mail programs
setup-heading = Set up { $name }
setup-lead = What a mail program must know to fetch and send mail of { $name }.
setup-box-lead = Everything that a mail program must know of { $name }. The password is the only thing that is not here.
setup-boxes = For one mailbox
setup-by-itself = Enter your name, the address { $name } and your password: the program finds the rest by itself.
setup-apple = Open the profile on the device and install it in the settings. It asks for your password.
setup-apple-profile = Get the profile
setup-phone = On a phone
setup-phone-text = Point the camera at the code: it opens these settings on the phone.
setup-phone-code = Code of the address of the settings of { $name }
setup-guide = Any program that can do POP3 and SMTP works with { $name }.
setup-guide-server = { $name }, for fetching and for sending.
setup-guide-thunderbird = Finds its settings at { $name } when DNS leads that name to this platform, too.
setup-guide-outlook = Asks { $name }, which must lead here as well.
setup-guide-apple = A profile sets up { $name } in one step. It holds no password.
setup-guide-password = The one of the mailbox. It is in none of the files and codes on this page.

## The operator view

operator-title = Operator view
operator-customer = Customer
operator-domains = Domains
operator-mailbox = Mailbox
operator-customers = Customers
operator-customers-lead = Everybody who owns domains here.
operator-customers-none = No customer yet
operator-customers-none-text = A customer owns domains and sets up the mail of each. Create the first one.
operator-customers-guide = A customer signs in with its login and sets up the mail of its domains by itself.
operator-customers-guide-login = One to eight small letters and digits. It is never given to anybody else, not even later.
operator-customers-guide-suspend = Nobody of the customer can log in or send any more; mail is still taken and kept.
operator-customers-guide-limits = How much of everything a customer may have. Lowering a limit takes nothing away, it only stops more.
operator-customer-new = New customer
operator-customer-create = Create customer
operator-customer-created = The customer { $name } was created. Now add its first domain.
operator-field-login = Customer login
operator-field-login-hint = 1 to 8 characters: a to z and 0 to 9.
operator-field-live = Put into service without asking DNS
operator-field-live-hint = For domains whose DNS is changed later.
operator-domain-added = The domain { $name } was added.
operator-suspend = Suspend
operator-resume = End the suspension
operator-suspended = { $name } is suspended: nobody of it can log in or send.
operator-resumed = { $name } may use everything again.
operator-limits = Limits
operator-limits-hint = Empty: what the platform gives everybody. -1: no limit.
operator-limits-changed = The limits of { $name } were changed.
operator-limit = Limit
operator-limit-used = In use
operator-limit-holds = At most
operator-limit-none = no limit
operator-limit-wrong = Please give a whole number, or -1 for no limit.
operator-limit-storage = All mailboxes together
operator-limit-box = One mailbox
operator-limit-messages = Recipients outside in an hour
operator-domains-guide = Every domain of every customer. Its name opens the menus of the domain, as its owner sees them.
operator-queue = Queue
operator-queue-lead = Mail that still has to leave the platform, oldest first.
operator-queue-none = The queue is empty
operator-queue-none-text = Mail that cannot be handed over at once waits here, with the reason.
operator-queue-recipient = Recipient
operator-queue-sender = Sender
operator-queue-next = Next attempt
operator-queue-outcome = Last outcome
operator-queue-domain = To domain
operator-queue-message = Message
operator-queue-waiting = waiting
operator-queue-active = being sent
operator-queue-held = held
operator-queue-attempts = { $count ->
        [one] 1 attempt
       *[other] { $count } attempts
    }
operator-queue-count = { $count ->
        [one] 1 entry
       *[other] { $count } entries
    }
operator-queue-retry = Try now
operator-queue-hold = Hold
operator-queue-remove = Give up
operator-queue-remove-ask = Give up { $count }? The messages are then not delivered to these recipients.
operator-queue-silent = Tell the sender nothing
operator-queue-silent-hint = Without this the sender is told that the mail did not arrive.
operator-queue-chosen-none = Nothing was chosen: tick the entries first.
operator-queue-retried = Tried now: { $count }.
operator-queue-stopped = Held: { $count }.
operator-queue-removed = Given up: { $count }.
operator-queue-guide = Each line is one message for one recipient outside, or a task, such as sending a post to the members of a list.
operator-queue-guide-retry = Makes the entries due at once, held ones, too.
operator-queue-guide-hold = No more attempts until somebody tries again; the days until it comes back as undeliverable run on.
operator-queue-guide-remove = Ends it for good. The sender is told unless you say otherwise.
operator-locks = Open mailboxes
operator-locks-lead = One mail program at a time can have a mailbox open. These are open now.
operator-locks-none = No mailbox is open
operator-locks-none-text = While a mail program fetches mail, its mailbox is listed here.
operator-gateway = Gateway
operator-locks-guide = “Can’t lock account” means that the mailbox is in this list.
operator-locks-guide-release = Ends the session that has the mailbox; it deletes nothing any more, and another one can log in at once.
operator-locks-guide-gateway = The process that the session is connected to.
operator-grants = Who may send
operator-grants-lead = Computers that may send without a password, because they have checked their mail.
operator-grants-none = No computer has checked its mail lately
operator-grants-none-text = Whoever fetches mail may send for a while and is listed here.
operator-grant-since = Checked mail
operator-grant-until = May send until
operator-grants-guide = Checking mail lets a computer send for { $time }, unless its domain has a time of its own. Where a domain takes passwords only, checking mail lets nobody send.
operator-grants-guide-revoke = Ends it now and cuts connections that rely on it. The next check of mail gives it again.
operator-grants-guide-six = With IPv6 the whole network of a connection (/64) is one computer.
operator-audit = Audit
operator-audit-lead = Every change on the platform: who made it, when, and from where.
operator-audit-actor = By
operator-audit-details = Before and after
operator-audit-guide = Customer, name and by must be written whole, as they stand in the entries.
operator-health = Health
operator-health-lead = The services behind this panel, asked just now.
operator-health-well = All services answer.
operator-health-ill = Not all services are well.
operator-health-service = Service
operator-health-time = Answered in
operator-health-good = well
operator-health-bad = not well
operator-health-guide = While one of these is away, others go on: mail is then answered with “try again later”, and nothing is lost.
operator-health-account = Customers, domains, mailboxes and where mail leads.
operator-health-auth = Logins, and who may send.
operator-health-delivery = The mailboxes and the queue.
operator-health-gateways = The doors for mail programs. They, and each replica of the others, are asked where the panel was told their health doors (POSTERN_HEALTH_DOORS).

## Sent & received
mail-title = Sent & received
mail-lead = The mail of all your domains, newest first: where it came from, where it went, what became of it. Never its content.
mail-received = received
mail-sent = sent
mail-address = Address
mail-number = Number of a message
mail-number-hint = As it stands on the page of the message, in the reply to the mail program, and in reports.
mail-number-show = Show this message
mail-number-unknown = There is no message of yours with this number, or it is too old.
mail-direction = Direction
mail-state = State
mail-empty = No mail here
mail-empty-text = Nothing came or went, or nothing fits your search.
mail-column-time = Accepted
mail-column-sender = From
mail-column-recipient = To
mail-column-state = State
mail-column-size = Size
mail-sender-none = report or automatic answer
mail-state-queued = waiting
mail-state-queued-text = It is tried again by itself for some days.
mail-state-delivered = in the mailbox
mail-state-delivered-text = It lies in a mailbox here, or was fetched from it.
mail-state-sent = handed over
mail-state-sent-text = The host of the recipient took it; what happens there is not known here.
mail-state-failed = failed
mail-state-failed-text = It was given up and the sender was told. The story of the message has the reason.
mail-state-passed-on = passed on
mail-state-passed-on-text = The address led on: to a forward, a list, or to nobody as its owner wishes.
mail-state-removed = taken out
mail-state-removed-text = An operator took it out of the queue.
mail-guide = Everything that came to your addresses, those at { $name } among them, or left from them within the last weeks. Click the time of a message to read its story.
mail-guide-refused = Not here?
mail-guide-refused-text = What was refused while it was handed over does not appear here: its sender heard why at once. “Trouble?” finds out what a sender would hear.
mail-story-title = Story of a message
mail-story-lead = What happened to it, in order.
mail-story-id = Number of the message
mail-story-login = Sent by the login
mail-story-peer = From the computer
mail-story-via = came through { $name }
mail-story-next = Tried again
mail-story-read = First fetched
mail-story-deleted = Deleted

# Security, second factor, log-ins, app passwords
code-title = Your code
code-lead = Your password is right. Now the code of your authenticator.
code-field = Code
code-hint = Six digits of your authenticator app, or one of your recovery codes.
code-wrong = This code is wrong, too old, or was used before. Wait for the next one.
code-too-many = Too many codes were wrong. Please wait 15 minutes.
code-waited = That took longer than five minutes. Please give your password once more.
security-title = Security
security-lead = Where you are signed in, and what it takes to sign in.
security-sessions = Where you are signed in
security-open = Browsers signed in
security-open-none = none
security-this = this browser
security-since = since
security-used = last used
security-from-unknown = unknown address
security-end = Sign out
security-end-others = Sign out all others
security-end-all = Sign out everywhere
security-ended = Signed out there.
security-ended-all = You are signed out everywhere.
security-ended-of = { $name } is signed out everywhere.
security-password = Password
security-password-text = After a change every browser must sign in again.
security-password-change = Change password
security-guide = Whoever signs in here can read and change everything of yours at { $name }.
security-guide-sessions = An address or time you do not know? Sign out everywhere, then change your password.
security-guide-factor = Whoever learns your password still cannot sign in here without your phone. Mail programs are not asked for it.
security-guide-codes = For the day your phone is lost. Each is good for one sign-in. Keep them on paper, not in the mailbox.
security-guide-app = A password for one mail program. It cannot sign in here, and can be taken back alone.
factor-title = Second factor
factor-on = on
factor-off = off
factor-off-text = Besides your password you are then asked for a code from an app on your phone.
factor-begin = Set up a second factor
factor-remove = Turn off
factor-removed = The second factor is off.
factor-scan = Scan the picture with your authenticator app, or type the key into it. Then enter the code that it shows.
factor-qr = QR code for an authenticator app
factor-secret = Key
factor-confirm-hint = Six digits that the app shows now.
factor-confirm = Turn on
factor-again = The app has the key already. Enter the code that it shows now; or cancel and begin again with a new key.
factor-turned-on = The second factor is on. All other browsers were signed out.
factor-turned-on-others-stay = The second factor is on. Other browsers could not be signed out just now: keep the codes, then sign the others out under Security.
factor-codes-title = Recovery codes
factor-codes-text = If your phone is lost, each of these codes lets you sign in once. They are shown only now: print them or write them down.
factor-codes-kept = I have kept them
factor-reset = Take the second factor away
factor-reset-said = { $name } signs in without a second factor now.
factor-of-user = Whoever uses this mailbox signs in here with a second factor. Take it away when phone and recovery codes are lost.
login-title = Log-ins
login-none = Nobody has logged in lately.
login-pop3 = Fetching mail (POP3)
login-smtp = Sending mail (SMTP)
login-panel = Control panel
login-failed = Last failure
login-why-password = The password was wrong.
login-why-suspended = The password was right; the mailbox or its customer is suspended.
login-why-domain = The domain is not in service yet.
login-why-throttled = Too many wrong passwords before: this computer has to wait.
login-why-clear-text = The password came without encryption, which the domain does not take.
login-why-code = The code of the second factor was wrong.
app-title = App passwords
app-lead = A password of its own for each mail program of { $name }: if a device is lost, only that one is taken back.
app-empty = No app passwords yet
app-empty-text = Make one for each device, and give it to the mail program in place of the password.
app-new = New app password
app-field-name = For which program
app-field-name-hint = As in “Thunderbird on the laptop”.
app-field-for = What it opens
app-create = Make app password
app-made = Your new app password
app-made-text = It is shown only now. With or without its hyphens, as you like.
app-column-name = Program
app-column-for = Opens
app-column-made = Made
app-column-used = Last used
app-unused = not known
app-remove = Take back
app-removed = The app password “{ $name }” opens nothing any more.
app-guide-text = Passwords for single programs at { $name }, each for fetching or for sending. They never open this panel.
factor-codes-left = { $count ->
    [0] No recovery code is left: turn the second factor off and on again for new ones.
    [one] One recovery code is left.
   *[other] { $count } recovery codes are left.
}

## Pictures

moment-weekday = { $day ->
    [1] Mon
    [2] Tue
    [3] Wed
    [4] Thu
    [5] Fri
    [6] Sat
   *[other] Sun
 }
picture-traffic = Mail in and out
picture-traffic-text = A bar above the line for mail that came in, one below it for mail that went out. The table behind it has the figures.
picture-traffic-none = No mail came or went in this time.
picture-spans = How far back
picture-week = 7 days
picture-day = 24 hours
picture-when = When
picture-figures = Figures
picture-fates = What became of sent mail
picture-fates-text = One bar, divided by what became of the mail. The list below it has the figures.
picture-fates-week = Of the last seven days, counted for each recipient.
picture-fates-partial = Of the last seven days; the newest 5,000 are counted.
picture-fates-none = Nothing was sent in the last seven days.
picture-growth = Storage over time
picture-growth-text = From { $first } on { $from } to { $now } now.
picture-today = now

## Long work

course-state = State
course-begun = Begun
course-ended = Ended
course-running = running
course-done = done
course-stopped = stopped
course-progress = So far
course-running-text = It is under way. This page looks anew every two seconds; you may leave it and come back.

## Mail of another house

import-title = Import mail
import-this = Import a file of mail …
import-hint = Mail that another program or provider gave you as a file comes into this mailbox, as it is and in its order.
import-lead = Messages of a file come into the mailbox { $name }. They are imported while the file is sent; what the mailbox has already is left out, so the same file may be sent again.
import-file = File of mail
import-file-hint = An mbox, as Thunderbird, Apple Mail and most providers export it; or a maildir or .eml files, packed as .zip, .tar or .tar.gz. Any size; it may take as long as your connection needs.
import-begin = Import
import-sending = The file is being sent. You may look at other pages in another window.
import-no-file = Please choose a file.
import-no-mbox = This is neither an mbox file (which begins with “From ”) nor an archive (zip, tar, tar.gz).
import-no-mail = No mail was found in this archive. It should hold a maildir (folders cur and new) or .eml files; and one that is damaged at its beginning cannot be read.
import-broken = The connection broke before the whole file had arrived. What is in the list below was imported; send the same file again: it goes on where it stopped.
import-busy = Too many files are being imported right now. Nothing of this one was taken; please send it again in a few minutes.
import-busy-customer = Several of your mailboxes are importing files right now. Nothing of this one was taken; send it again when one of them has ended.
import-busy-person = You are importing two files already. Nothing of this one was taken; send it again when one of them has ended.
import-before = Imports of the last 30 days
import-column-file = File
import-column-count = Imported
import-nameless = a file without a name
import-done-text = All messages of the file were looked at; those that were new are in { $name }.
import-full-text = { $name } is full. What was imported stays. Make room or allow it more space, then send the same file again: it goes on where it stopped.
import-stopped-text = It stopped before the end of the file: the connection broke, a part of the platform did not answer, or the archive is damaged from there on. What was imported stays. Send the same file again: it goes on where it stopped.
import-imported = New messages
import-known = Already there
import-refused = Not taken
import-message-number = Message { $count } of the file
import-why-large = larger than a message may be
import-why-content = not a message: it has characters that no mail may have
import-why-damaged = damaged in the archive, or packed in a way that is not known here
import-why-full = the mailbox is full
import-to-box = To the mailbox
import-another = Import another file

## The page that ends a subscription

unsubscribe-title = Unsubscribe
unsubscribe-ask = No more mail of the list { $list } to { $address }?
unsubscribe-button = Unsubscribe
unsubscribe-done = Unsubscribed
unsubscribe-done-text = { $address } gets no more mail of the list { $list }.
unsubscribe-unknown = This link is not valid
unsubscribe-unknown-text = The list may be gone, or the link is not whole.
unsubscribe-no-button = Nothing was changed
unsubscribe-no-button-text = Please use the button of the page.
unsubscribe-away = Please try again later
unsubscribe-away-text = This cannot be answered at the moment. Trying again does no harm.
