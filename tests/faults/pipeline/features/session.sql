-- One row per visit of a person.
SELECT user_id,
       count(*)      AS orders,
       sum(item_id)  AS amount,
       min(item_id)  AS least,
       max(item_id)  AS most
FROM visits
GROUP BY user_id, session(ts, '1 second')
