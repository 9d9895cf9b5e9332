// Which messages a person has already had in front of her, per conversation.

const order = (message) => Number(message.id || 0) || message.at;

export class Unread {
  constructor() {
    this.seen = new Map();
    this.people = new Set();
  }

  // `chats` are [key, messages] of one person. What was there before we came counts as read.
  // Returns the newest message that has just arrived in each conversation, by key.
  take(person, chats) {
    const arrived = new Map();
    const isNew = !this.people.has(person);
    this.people.add(person);
    for (const [key, messages] of chats) {
      const name = `${person}/${key}`;
      const last = messages.at(-1);
      const known = this.seen.get(name) || { read: 0, told: 0 };
      const top = last ? order(last) : 0;
      if (isNew) known.read = top;
      else if (top > known.told && last && isTheirs(last)) arrived.set(key, last);
      known.told = top;
      this.seen.set(name, known);
    }
    return arrived;
  }

  read(person, key, messages) {
    const known = this.seen.get(`${person}/${key}`) || { told: 0 };
    known.read = messages.length ? order(messages.at(-1)) : 0;
    this.seen.set(`${person}/${key}`, known);
  }

  count(person, key, messages, mine) {
    const read = this.seen.get(`${person}/${key}`)?.read || 0;
    return messages.filter((one) => order(one) > read && one.sender !== mine && one.sender !== "system").length;
  }
}

const isTheirs = (message) => message.sender !== "system";
