-- One row per visit of a person.
SELECT user_id,
       count(*)     AS visits,
       sum(item_id) AS items
FROM visits
GROUP BY user_id, session(ts, '1 second')
