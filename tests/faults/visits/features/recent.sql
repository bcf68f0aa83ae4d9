-- The last four seconds of each person, whenever they have changed.
SELECT user_id,
       count(*)     AS visits,
       min(item_id) AS least,
       max(item_id) AS most
FROM visits
GROUP BY user_id, hop(ts, '2 seconds', '4 seconds')
